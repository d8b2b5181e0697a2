"""AutoAttack of the default checkpoint, killed again and again: minutes, for every night."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from advss_zoo.evaluation.verdicts import Verdicts

ROOT = Path(__file__).parents[2]
KILLS = 10
LONGEST = 60.0  # seconds that a process lives at most


@pytest.mark.nightly
@pytest.mark.parametrize("processes", [1, 2])
def test_autoattack_that_is_killed_ten_times_gives_the_verdicts_of_the_unbroken_run(processes, tmp_path):
    images = 20 if processes == 1 else 72  # of two, each needs a pass

    def start(out):
        command = [sys.executable, "-m", "advss_zoo", "eval", "p1f4.mini", "--attack", "autoattack"]
        command += ["--limit", str(images), "--processes", str(processes), "--out", str(out)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)

    chance, broken, whole = random.Random(processes), tmp_path / "broken", tmp_path / "whole"
    for kill in range(KILLS):
        process = start(broken)
        try:
            process.wait(chance.uniform(0, LONGEST))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL), kill
    assert start(broken).wait() == start(whole).wait() == 0
    found, expected = (Verdicts.read(out / "autoattack" / "verdicts.npz") for out in (broken, whole))
    assert found.sha256 == expected.sha256
    assert len(found) == images
