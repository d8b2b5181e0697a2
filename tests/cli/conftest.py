"""Running `advss` in this process, or in one of its own where the behaviour of the process is what is tested."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from advss_zoo.cli import execute

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one document on stdout; fails if there is anything beside it."""
        return json.loads(self.stdout)


Advss = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has its own working folder and its own cache; `execute` may change how Ctrl-C is taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADVSS_DEBUG", raising=False)
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def advss(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Advss:
    """Run a command in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["advss", *arguments])
        return Outcome(execute(), *capsys.readouterr())

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own."""

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "advss_zoo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            # What a shell starts in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


@pytest.fixture
def advss_process(start: Callable[..., subprocess.Popen[str]]) -> Advss:
    """Run a command in a process of its own, to the end."""

    def run(*arguments: str, **environment: str) -> Outcome:
        process = start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=60)
        return Outcome(process.returncode, stdout, stderr)

    return run
