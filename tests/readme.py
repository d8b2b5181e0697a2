"""The code of the README and of the pages in docs/, so that tests and continuous integration run what people read.

A block is marked by an HTML comment on the line before it; `tests/test_pages.py` says which marks there are.
`python tests/readme.py test` prints the block of the README marked `test`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
DOCS = README.parent / "docs"
TUTORIAL = DOCS / "tutorial.md"
BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


def marked(document: Path) -> list[tuple[str | None, str, str]]:
    """List the marker, the language and the code of each block that names a language."""
    found = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [(block["marker"], block["language"], block["code"].strip()) for block in found]


def blocks(marker: str, document: Path = README) -> list[str]:
    """List the code of the blocks with a marker."""
    found = [code for its, _, code in marked(document) if its == marker]
    if not found:
        raise SystemExit(f"{document.name} has no block marked {marker}")
    return found


if __name__ == "__main__":
    print("\n".join(blocks(sys.argv[1])))
