"""A name is never a path."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.errors import UsageError
from advss_zoo.zoo import names
from advss_zoo.zoo.names import Name

part = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
name = st.lists(part, min_size=1, max_size=3).map("-".join)


@given(name, st.none() | part)
def test_what_is_written_is_read(stem, tag):
    written = Name(stem, tag)
    assert names.parse(str(written)) == written


@given(st.text())
def test_anything_else_is_refused_and_nothing_accepted_can_leave_a_folder(text):
    try:
        parsed = names.parse(text)
    except UsageError:
        return
    assert str(parsed) == text
    assert set(text) <= set(string.ascii_lowercase + string.digits + "-.")
    assert not text.startswith(".")
    assert ".." not in text


@pytest.mark.parametrize(
    "text",
    ["", "../p1f4", "/etc/passwd", "p1f4/..", "P1F4", "p1f4.", ".mini", "p1f4.mini.r50", "p1f4\n", "p1f4 ", "p1--f4",
     "C:\\p1f4", "p1f4\x00", "~", "hf://a/b", "p" * 200, "p1f4.\u0661"],
)  # fmt: skip
def test_paths_and_accidents(text):
    with pytest.raises(UsageError, match="not a checkpoint name"):
        names.parse(text)
