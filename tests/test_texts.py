"""What a stranger's text may show, and how a fraction is written."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.texts import INVISIBLE, percent, visible


@given(st.text(st.characters(exclude_categories=())))
def test_visible_texts_can_be_written_and_seen(text):
    found = visible(text)
    assert len(found) == len(text)
    found.encode()
    assert not any(unicodedata.category(letter) in INVISIBLE for letter in found)
    assert visible(found) == found


def test_what_is_kept_stays():
    assert visible("a\n\tb\u202e", keep="\n\t") == "a\n\tb�"


def test_percents():
    assert [percent(0.7013), percent(1), percent(None), percent(None, "-")] == ["70.13", "100.00", "", "-"]
