"""JSON that others may have written, and what may be said in it or in YAML: plain data of a sensible size."""

from __future__ import annotations

import json
import math
from typing import Any

MOST_BYTES = 64 * 2**20
MOST_DEPTH = 40  # lists and maps inside each other


def from_json(content: bytes) -> Any:
    """Parse JSON that is plain data.

    Raises:
        ValueError: it is not JSON, or no plain data (see `check`).
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"size {len(content):,} bytes exceeds the limit of {MOST_BYTES:,}")
    try:
        return check(json.loads(content))
    except RecursionError:
        raise too_deep() from None


def check(value: Any) -> Any:
    """Check that a value is plain data, and return it: maps with text keys, lists, text, numbers, booleans, null.

    Raises:
        ValueError: something in it is not, or it is nested too deeply.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return value
    raise too_deep()


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not text")
        return [*value, *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        value.encode()  # halves of surrogate pairs, which cannot be written, are a ValueError
    elif isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError("an integer exceeds 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number")
    elif value is not None:
        raise ValueError(f"a {type(value).__name__} is not plain data")
    return []


def too_deep() -> ValueError:
    return ValueError(f"nested more than {MOST_DEPTH} levels deep")
