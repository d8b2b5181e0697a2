"""`--processes`: further processes share the work, and end with the one that was started."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from advss_zoo.cli import companions
from advss_zoo.evaluation.passes import MOST_IMAGES

QUICK = "eval", "p1f4.mini", "--attack", "pgd1", "--limit", "72"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The environments of the companions that would have been started."""
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(companions.subprocess, "Popen", lambda command, env, **_: environments.append(env))
    monkeypatch.setattr(companions, "_companions", [])
    monkeypatch.setattr(companions, "cores", lambda: 8)
    monkeypatch.setattr(companions.shutil, "which", lambda name: None)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return environments


def test_each_has_its_part_of_the_cores(started: list[dict[str, str]]) -> None:
    companions.share_among(3)
    names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS"
    assert [[of[name] for name in names] for of in (os.environ, *started)] == [
        ["0", "0", "3", "2"],
        ["1", "1", "3", "2"],
        ["2", "2", "3", "2"],
    ]
    assert all(of[companions.FOLLOWS] == str(os.getpid()) for of in started)


def test_threads_that_were_chosen_stay(started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    companions.share_among(2)
    assert [of["OMP_NUM_THREADS"] for of in (os.environ, *started)] == ["5", "5"]


@pytest.mark.parametrize(("images", "processes"), [(1, 1), (64, 1), (65, 2), (200, 4), (10_000, 8), (None, 8)])
@pytest.mark.usefixtures("started")
def test_by_default_each_core_has_one_and_each_one_a_pass(images: int | None, processes: int) -> None:
    assert companions.one_a_core(images) == processes
    assert MOST_IMAGES["cpu"] == companions.PASS


@pytest.mark.usefixtures("started")
def test_on_many_cores_there_are_no_more_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "cores", lambda: 128)
    assert companions.one_a_core(None) == companions.MOST


@pytest.mark.usefixtures("started")
def test_a_gpu_or_a_chosen_number_of_threads_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert companions.one_a_core(None) == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(companions.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert companions.one_a_core(None) == 1


def test_a_single_process_starts_none(started: list[dict[str, str]]) -> None:
    companions.share_among(1)
    assert not started
    assert "WORLD_SIZE" not in os.environ


def test_nor_does_one_of_a_launchers(started: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    companions.share_among(4)
    assert not started


def test_two_processes_say_what_one_says(advss: Callable, advss_process: Callable, tmp_path: Path) -> None:
    outcome = advss_process(*QUICK, "--processes", "2", "--json", "--out", str(tmp_path / "two"))
    assert outcome.status == 0, outcome.stderr
    (two,) = json.loads(outcome.stdout)["results"]
    (one,) = json.loads(advss(*QUICK, "--json", "--out", str(tmp_path / "one")).stdout)["results"]
    assert two["verdicts"] == one["verdicts"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_whoever_kills_the_first_ends_them_all(start: Callable[..., Popen[str]], tmp_path: Path) -> None:
    process = start("eval", "p1f4.mini", "--attack", "autoattack", "--limit", "128", "--processes", "2")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        assert process.poll() is None
        time.sleep(0.05)
    (companion,) = map(int, found)
    while not list(tmp_path.glob("runs/eval/*/*/unfinished-*/shared/*.lock")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while _runs(companion) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(companion)


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
