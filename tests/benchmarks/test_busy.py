"""benchmarks/busy.py: what a command costs beside other work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "busy.py"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_row_for_each_number_of_others() -> None:
    side = "advss eval --processes 1"
    command = [sys.executable, str(BENCHMARK), "--images", "8", "--others", "0,1", "--only", side]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[side, "0"], [side, "1"]]
    assert all(float(seconds) > 0.5 for row in rows for seconds in row[2:]), "importing torch alone takes longer"
