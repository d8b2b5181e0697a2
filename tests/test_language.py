"""Messages and help texts use plain words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from advss_zoo.cli.app import app

PACKAGE = Path(__file__).parents[1] / "advss_zoo"
BANNED = re.compile(
    r"\b(is|are) no |\bis none\b|\bone's own\b|\bbeside\b|\bso many\b|\blikewise\b|\ball in all\b|\bbegun\b",
    re.IGNORECASE,
)
LONGEST_HELP = 10  # words

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """All strings but docstrings, by their lines; of an f-string the text with a ? for each value."""
    below = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.JoinedStr):
        pieces = (part.value if isinstance(part, ast.Constant) else "?" for part in node.values)
        yield node.lineno, "".join(map(str, pieces))
        below = [part for part in below if isinstance(part, ast.FormattedValue)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    elif isinstance(node, DOCUMENTED) and ast.get_docstring(node):
        below.remove(node.body[0])
    for child in below:
        yield from texts(child)


def commands(command: typer.core.TyperCommand, path: str = "advss") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages_use_plain_words(path: Path) -> None:
    found = [f"{line}: {text}" for line, text in texts(ast.parse(path.read_text())) if BANNED.search(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_uses_plain_words(name: str) -> None:
    command = COMMANDS[name]
    helps = {parameter.name: getattr(parameter, "help", None) or "" for parameter in command.params}
    found = [text for text in (command.help or "", command.epilog or "", *helps.values()) if BANNED.search(text)]
    assert not found, found
    long = {parameter: text for parameter, text in helps.items() if len(text.split()) > LONGEST_HELP}
    assert not long, long


def test_what_is_banned_is_found() -> None:
    for text in ("It is no net.", "They are no nets.", "X is none.", "in one's own", "beside it", "So many", "Begun"):
        assert BANNED.search(text), text
    assert not BANNED.search("Path X is not valid UTF-8.")
    tree = ast.parse('"""It is no net."""\nraise ValueError(f"{x} is no " f"{y}")')
    assert list(texts(tree)) == [(2, "? is no ?")]
