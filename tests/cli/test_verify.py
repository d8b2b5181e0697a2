"""`advss verify`: every check is a line, and one that fails makes the command fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from advss_zoo.workflows import verify

Advss = Callable[..., Any]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    checks = [SimpleNamespace(name="files", passed=True, detail="3 files, sha256 as in the index")]

    def fake(name: str, limit: int, full: bool, **_: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(name="limit", passed=True, detail="all" if full else str(limit))
        yield from checks

    monkeypatch.setattr(verify, "verify", fake)
    return checks


@pytest.mark.usefixtures("checks")
@pytest.mark.parametrize(("arguments", "limit"), [([], "128"), (["--limit", "7"], "7"), (["--full"], "all")])
def test_checks_are_lines(arguments: list[str], limit: str, advss: Advss) -> None:
    status, stdout, stderr = advss("verify", "p1f4", *arguments)
    assert (status, stderr) == (0, "")
    assert stdout.splitlines() == [f"ok\tlimit\t{limit}", "ok\tfiles\t3 files, sha256 as in the index"]


def test_one_failure_fails_the_command(checks: list[SimpleNamespace], advss: Advss) -> None:
    checks.append(SimpleNamespace(name="ra", passed=False, detail="found 0.40, the card says 0.43"))
    status, stdout, stderr = advss("verify", "p1f4")
    assert status == 1
    assert "FAILED\tra\tfound 0.40, the card says 0.43" in stdout.splitlines()
    assert stderr == "Error: p1f4 does not match its card.\n"


def test_what_was_left_out_is_not_called_ok(checks: list[SimpleNamespace], advss: Advss) -> None:
    checks.append(SimpleNamespace(name="autoattack", passed=None, detail="takes hours"))
    status, stdout, _ = advss("verify", "p1f4")
    assert status == 0
    assert stdout.splitlines()[-1] == "not run\tautoattack\ttakes hours"


@pytest.mark.usefixtures("checks")
def test_limit_and_full_exclude_each_other(advss: Advss) -> None:
    assert advss("verify", "p1f4", "--limit", "7", "--full").status == 2
