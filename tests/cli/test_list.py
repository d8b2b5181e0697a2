"""`advss list`, `show` and `pull`: what they print in each mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.zoo import index, sources

Advss = Callable[..., Any]

ENTRY = SimpleNamespace(
    full_name="p1f4.mini",
    name="p1f4",
    tag="mini",
    default=True,
    kind="classifier",
    ta=0.7013,
    ra=0.4321,
    aa=None,
    aa_images=None,
    parameters=701_466,
    bytes=1_412_000,
    licence="MIT",
    stored="bundled",
)


@pytest.fixture
def _one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "entries", lambda: [ENTRY])


@pytest.mark.usefixtures("_one_entry")
def test_list_in_a_pipe_is_tab_separated(advss: Advss) -> None:
    status, stdout, stderr = advss("list")
    assert (status, stderr) == (0, "")
    heading, row = (line.split("\t") for line in stdout.splitlines())
    assert heading == ["name", "*", "kind", "TA", "RA", "AA", "params", "size", "licence"]
    assert row == ["p1f4.mini", "*", "classifier", "70.13", "43.21", "", "701 k", "1.41 MB", "MIT"]


@pytest.mark.usefixtures("_one_entry")
def test_list_json_has_fractions_and_bytes(advss: Advss) -> None:
    assert advss("list", "--json").json == [
        {
            "name": "p1f4.mini",
            "default": True,
            "kind": "classifier",
            "ta": 0.7013,
            "ra": 0.4321,
            "aa": None,
            "aa_images": None,
            "parameters": 701_466,
            "bytes": 1_412_000,
            "stored": "bundled",
            "licence": "MIT",
        }
    ]


def test_list_shows_every_entry_of_the_zoo(advss: Advss) -> None:
    outcome = advss("list", "--json")
    assert outcome.status == 0
    assert [model["name"] for model in outcome.json] == [entry.full_name for entry in index.entries()]


def test_show_prints_markdown_in_a_pipe(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "card", lambda name: f"# {name}\n\n*a card*")
    assert advss("show", "p1f4") == (0, "# p1f4\n\n*a card*\n", "")


def test_pull_prints_the_folder(advss: Advss, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fetched = SimpleNamespace(path=tmp_path, sha256="ab" * 32, source="bundled", full_name="p1f4.mini")
    monkeypatch.setattr(sources, "fetch", lambda name: fetched)
    assert advss("pull", "p1f4") == (0, f"{tmp_path}\n", "")
    assert advss("pull", "p1f4", "--json").json == {
        "name": "p1f4.mini",
        "path": str(tmp_path),
        "sha256": "ab" * 32,
        "source": "bundled",
    }


@pytest.mark.parametrize("command", ["show", "pull", "eval", "verify"])
@pytest.mark.parametrize("name", ["no-such-thing", "../../no/such/path", "", "p1f4.nosuchtag", "a+b"])
def test_unknown_names_are_a_sentence(command: str, name: str, advss: Advss) -> None:
    status, stdout, stderr = advss(command, name)
    assert (status, stdout) == (CheckpointError.exit_code if "/" in name else UsageError.exit_code, "")
    assert stderr.startswith("Error: ")
    assert "Unexpected" not in stderr
