"""The log of a run: JSON lines, one record a line, consistent with the state that a resumed run starts from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advss_zoo.files import explained, write_atomically

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All complete records; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    with explained("read", path):
        lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def append(path: Path, record: Record) -> None:
    with explained("write", path), path.open("ab") as file:
        file.write(json.dumps(record).encode() + b"\n")


def rewind(path: Path, step: int) -> None:
    """Forget what was logged after `step`: the run goes on from there and will log it again."""
    kept = [record for record in read(path) if record["step"] <= step]
    write_atomically(path, lambda file: file.write(b"".join(json.dumps(r).encode() + b"\n" for r in kept)))
