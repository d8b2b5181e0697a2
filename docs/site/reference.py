"""Reference pages of the site, made from the commands, the recipes' schema and the registry of protocols."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

import advss_zoo.evaluation.protocols
from advss_zoo.cli.app import app
from advss_zoo.evaluation.protocols import Protocol, Settings
from advss_zoo.registry import subclasses
from advss_zoo.training.recipe import EnsembleRecipe, Recipe
from advss_zoo.zoo.cards import constants


def commands() -> str:
    """Return a page of all commands with their arguments, options and examples."""
    parts = ["# Commands\n\nMade from the commands themselves; `advss COMMAND --help` says the same.\n"]
    for path, command in _commands(get_command(app), ()):
        context = typer.Context(command, info_name=" ".join(("advss", *path)))
        parts.append(f"## {' '.join(path)}\n\n{inspect.cleandoc(command.help or '')}\n")
        parts.append(f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n")
        rows = [cells for parameter in command.params if (cells := parameter.get_help_record(context))]
        parts.append(_table(["", ""], [[f"`{name}`", _cell(text)] for name, text in rows]))
        parts.append(f"```bash\n{_examples(command.epilog or '')}\n```\n")
    return "\n".join(parts)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, child in below.items():
        yield from _commands(child, (*path, name))


def _examples(epilog: str) -> str:
    return "\n".join(line.strip() for line in epilog.splitlines() if line.strip().startswith("advss"))


def recipes() -> str:
    """Return a page of all keys of a recipe."""
    schema = Recipe.model_json_schema()
    parts = [
        "# Keys of a recipe\n\nMade from the schema that every recipe is checked against. What they mean together: "
        "[Training at scale](training.md).\n",
        "`advss train RECIPE --dry-run` prints all keys of a recipe with their values.\n",
        _section("Recipe", schema),
    ]
    parts += [_section(name, part) for name, part in sorted(schema["$defs"].items()) if "properties" in part]
    parts.append(_section("EnsembleRecipe", EnsembleRecipe.model_json_schema()))
    return "\n".join(parts)


def _section(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = []
    for key, part in schema["properties"].items():
        default = "required" if key in required else f"`{json.dumps(part.get('default'))}`"
        rows.append([f"`{key}`", _kind(part), default, _cell(part.get("description", ""))])
    about = _cell(schema.get("description", "").split("\n\n")[0])
    return f"## {name}\n\n{about}\n\n{_table(['key', 'type', 'default', ''], rows)}"


def _kind(part: dict[str, Any]) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "items" in part:
        return f"list of {_kind(part['items'])}"
    for union in ("anyOf", "oneOf"):
        if union in part:
            return " or ".join(dict.fromkeys(_kind(each) for each in part[union]))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {part[name]}" for name, sign in bounds.items() if name in part)
    return " ".join(filter(None, (part.get("type", "any"), limits)))


def protocols() -> str:
    """Return a page of all protocols that `advss eval --attack` takes."""
    families = subclasses(advss_zoo.evaluation.protocols, Protocol)  # type: ignore[type-abstract]
    parts = [
        "# Protocols\n\nWhat `advss eval --attack` takes. Made from the registry; what the numbers mean: "
        "[Evaluate a model](evaluate.md).\n"
    ]
    for family in families:
        examples = ", ".join(f"`{example}`" for example in family.examples)
        options = ", ".join(f"`--{name.replace('_', '-')}`" for name in sorted(family.takes)) or "none but `--seed`"
        rows = [
            ["names", f"`{family.pattern.replace('|', chr(92) + '|')}`"],
            ["suites", ", ".join(f"`{name}`" for name in family.suites()) or "none"],
            ["options", options],
            ["gradients", family.gradient],
            ["constants", _cell(constants(family.create(family.examples[0], Settings()).constants()))],
        ]
        parts.append(
            f"## {family.examples[0]}\n\n{_about(family)}\n\nFor example {examples}.\n\n{_table(['', ''], rows)}"
        )
    return "\n".join(parts)


def _about(family: type[Protocol]) -> str:
    """The first paragraph that the class says of itself, or else its module."""
    own = inspect.getdoc(family) or ""
    generated = own.startswith(f"{family.__name__}(")  # by dataclass
    return (inspect.getdoc(inspect.getmodule(family)) if generated else own).split("\n\n")[0]


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """On one line; a bar or a bracket is no markup."""
    return re.sub(r"([|\[\]<>*])", r"\\\1", " ".join(text.split()))
