"""benchmarks/cuts.py: no verdict depends on how work is cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cuts.py"


def test_a_row_for_each_cut(tmp_path: Path) -> None:
    cut = ["--attack", "apgd-ce", "--limit", "16", "--sizes", "8,16", "--processes", "1"]
    command = [sys.executable, str(BENCHMARK), "p1f4.mini", *cut, "--out", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["8", "1"], ["16", "1"]]
    assert [row[3:] for row in rows] == [["0", "0"]] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["16-1", "8-1"]
