"""What strangers may write: files that were whole once, documents with something odd in one place, and plain noise."""

from __future__ import annotations

import json
import struct
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = (
    *("", ".", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "~", "hf://a/b", "p1f4", "p1f4.mini", "x" * 300),
    *("nan", "1e999", "\ud800", "\x1b[31m", "{{7*7}}", "<script>", "!!python/object:os.system", "\u202e", "a\n---\nb"),
)
ODD_NUMBERS = (0, -1, 1, 2, 255, 2**31, 2**32, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -0.0)
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
NUMBERS = st.sampled_from(ODD_NUMBERS) | st.floats()
DEEP: Any = "bottom"
for _ in range(60):
    DEEP = [DEEP]
ODD = (
    st.none()
    | st.booleans()
    | NUMBERS
    | TEXTS
    | st.just(DEEP)
    | st.lists(NUMBERS | TEXTS, max_size=3)
    | st.dictionaries(TEXTS, NUMBERS | TEXTS, max_size=3)
)
# Where files have lengths, counts and offsets.
WORDS = st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]).map(lambda value: struct.pack("<Q", value))
SPLICES = st.binary(max_size=9) | WORDS


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """A document in which one to three places hold something else, are gone, or have another name."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(document) or [(None, None)]))
        kind = draw(st.sampled_from(("odd", "odd", "gone", "named", "whole")))
        if parent is None or kind == "whole":
            if draw(st.integers(0, 9)) == 0:
                return deepcopy(draw(ODD))
        elif kind == "odd":
            parent[key] = deepcopy(draw(ODD))
        elif kind == "gone":
            del parent[key]
        elif isinstance(parent, dict):
            parent[draw(TEXTS)] = parent.pop(key)
        else:
            parent.append(parent[key])
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every map or list in a document with each of its keys or positions."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in inside for place in ((value, key), *_places(inner))]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file that lost its end, or of which bytes were replaced, put in or taken out."""
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, min(len(content), 400)) | st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 1, 8)) | st.integers(0, 40))
        content = content[:begin] + draw(SPLICES) + content[begin + length :]
        if draw(st.integers(0, 9)) == 0:
            content = content[: draw(st.integers(0, len(content)))]
    return content


def files(content: bytes) -> st.SearchStrategy[bytes]:
    return damaged(content) | st.binary(max_size=100)


def documents(document: Any) -> st.SearchStrategy[bytes]:
    """As JSON, which may hold NaN as Python writes it."""
    return altered(document).map(lambda value: json.dumps(value).encode()) | files(json.dumps(document).encode())
