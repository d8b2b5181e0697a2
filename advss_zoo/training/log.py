"""The log of a run: JSON lines, one record a line, consistent with the state that a resumed run starts from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advss_zoo.files import explained, write_bytes

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """Read all complete records; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    with explained("read", path):
        lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def append(path: Path, record: Record) -> None:
    """Add a record behind the last complete one; a line that a kill cut short is overwritten."""
    with explained("write", path), path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(record).encode() + b"\n")


def rewind(path: Path, step: int) -> None:
    """Forget what was logged after `step`: the run goes on from there and will log it again."""
    kept = [record for record in read(path) if record["step"] <= step]
    write_bytes(path, b"".join(json.dumps(r).encode() + b"\n" for r in kept))
