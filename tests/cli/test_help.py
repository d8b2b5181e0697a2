"""Help, for every command there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

from advss_zoo.cli.app import app

Advss = Callable[..., Any]


def _paths(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from _paths(child, (*path, name))
    if not children:
        yield path


COMMANDS = list(_paths(get_command(app)))


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
@pytest.mark.parametrize("columns", ["60", "100"])
def test_help_has_examples_that_fit(
    command: tuple[str, ...], columns: str, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, stdout, stderr = advss(*command, "--help")
    assert (status, stderr) == (0, "")
    assert stdout.startswith("Usage: ")
    assert "\b" not in stdout
    _, _, examples = stdout.partition("Examples:\n")
    assert all("advss" in line for line in examples.splitlines())
    assert examples
    assert max(map(len, stdout.splitlines())) <= int(columns)


def test_without_a_command_the_help_is_shown(advss: Advss) -> None:
    status, stdout, stderr = advss()
    assert (status, stdout) == (2, "")
    assert stderr.startswith("Usage: advss")
    assert "Error" not in stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lsit"], "Did you mean 'list'"),
        (["eval", "--atack", "clean"], "--attack"),
        (["eval", "--limit", "0"], "--limit"),
        (["eval", "--limit", "some"], "--limit"),
        (["eval", "--restarts", "0"], "--restarts"),
        (["eval", "--device", "tpu"], "--device"),
        (["train"], "RECIPE"),
        (["list", "more"], "more"),
    ],
)
def test_wrong_usage_is_one_sentence_and_the_next_command(arguments: list[str], says: str, advss: Advss) -> None:
    status, stdout, stderr = advss(*arguments)
    assert (status, stdout) == (2, "")
    error, hint = stderr.splitlines()
    assert error.startswith("Error: ")
    assert says in error
    assert "--help" in hint


def test_version(advss: Advss) -> None:
    status, stdout, _ = advss("--version")
    assert status == 0
    assert stdout.startswith("advss-zoo ")
