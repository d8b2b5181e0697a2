"""The commands of the README and the tutorial, so that tests and continuous integration run what people read.

Code blocks are marked by an HTML comment on the line before: <!-- run -->, <!-- test -->, <!-- offline -->.
`python tests/readme.py test` prints the block marked `test`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
TUTORIAL = README.parent / "docs" / "tutorial.md"


def blocks(marker: str, document: Path = README) -> list[str]:
    found = re.findall(rf"^<!-- {marker} -->\n```\w+\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    if not found:
        raise SystemExit(f"{document.name} has no block marked {marker}")
    return [block.strip() for block in found]


if __name__ == "__main__":
    print("\n".join(blocks(sys.argv[1])))
