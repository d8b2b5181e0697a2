"""Documents of strangers are plain data of a sensible size, or are refused in a word."""

from __future__ import annotations

import json

import pytest

from advss_zoo import documents


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("value", [None, True, -(2**63) + 1, 2**63 - 1, 1e308, "ä\0", [], {}, {"a": [{"b": 1.5}]}])
def test_plain_data_comes_back(value):
    assert documents.from_json(json.dumps(value).encode()) == value
    assert documents.from_json(nested(documents.MOST_DEPTH))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *((b"", "Expecting value"), (b"{", "Expecting"), (b"\xff", "utf-8"), (b"NaN", "nan"), (b"[-Infinity]", "inf")),
        *(
            (b"1e999", "inf"),
            (b"9" * 19, "exceeds 64 bits"),
            (b"9" * 10_000, "digits|64 bits"),
            (b'"\\ud800"', "surrogates"),
        ),
        *((b'{"\\udfff": 1}', "surrogates"), (nested(41), "nested more than 40"), (nested(10**6), "nested more than")),
    ],
)
def test_what_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        documents.from_json(content)


def test_more_than_fits(monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 10)
    assert documents.from_json(b"[1, 2, 3 ]") == [1, 2, 3]
    with pytest.raises(ValueError, match="size 11 bytes exceeds the limit of 10"):
        documents.from_json(b"[1, 2, 3  ]")


@pytest.mark.parametrize("value", [b"a", {1: 2}, {None: 1}, (1,), {1}, 1j])
def test_what_yaml_has_and_json_has_not(value):
    with pytest.raises(ValueError, match=r"not plain data|not text"):
        documents.check([value])
