"""Write docs/api.md from the docstrings of everything public, and the tables of the zoo: python tests/docs_api.py"""

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from readme import DOCS, README

import advss_zoo
from advss_zoo.zoo import cards, index

INTRODUCTION = (
    "# Python\n\nAll public functions, from their docstrings. An introduction: [Use from Python](python.md).\n"
)
TABLE = re.compile(r"(?<=<!-- zoo -->\n\n).*?\n\n", re.DOTALL)


def render() -> str:
    parts = [INTRODUCTION]
    for name in advss_zoo.__all__:
        found = getattr(advss_zoo, name)
        if isinstance(found, ModuleType):
            parts += [_entry(f"{name}.{each}", getattr(found, each)) for each in found.__all__]
        elif not name.startswith("__"):
            parts.append(_entry(name, found))
    return "\n".join(parts)


def _entry(name: str, found: Any) -> str:
    lines = [f"## advss_zoo.{name}", "", f"```python\n{name.rpartition('.')[2]}{_signature(found)}\n```", ""]
    return "\n".join([*lines, _markdown(inspect.getdoc(found) or ""), ""])


def _signature(found: Any) -> str:
    text = str(inspect.signature(found))
    return re.sub(r"<function (.+?) at 0x[0-9a-f]+>", r"\1", text).replace("'", "")


def _markdown(docstring: str) -> str:
    """Sections become headings in bold, their entries a list."""
    lines = []
    for line in docstring.splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            lines += [f"**{line[:-1]}**", ""]
        elif match := re.match(r"    (\w[\w, ]*): (.*)", line):
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("        ") else line.strip())
    return "\n".join(lines)


def tables() -> dict[Path, str]:
    """Return the table of the zoo for each page that has one: the README has what is in the package."""
    entries = index.entries()
    bundled = [entry for entry in entries if entry.stored == "bundled" and entry.kind != "trunk"]
    return {README: cards.table(bundled), DOCS / "zoo.md": cards.table(entries)}


if __name__ == "__main__":
    (DOCS / "api.md").write_text(render())
    for page, table in tables().items():
        page.write_text(TABLE.sub(lambda _, table=table: f"{table}\n\n", page.read_text()))
