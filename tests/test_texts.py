"""What a stranger's text may show, and how a fraction is written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.errors import UsageError
from advss_zoo.texts import INVISIBLE, duration, parse_duration, percent, visible


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


def test_durations():
    assert [duration(s) for s in (0.4, 59.4, 59.6, 3599, 7325)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "2 h 02 min",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [(90, 90), (0.5, 0.5), ("90", 90), ("90s", 90), (" 10m", 600), ("1.5 h", 5400), ("2min", 120)]
)
def test_times_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["soon", "0m", 0, -1, float("nan"), "1d", "", "1e3"])
def test_what_is_not_a_time(text):
    with pytest.raises(UsageError, match="is not a positive time"):
        parse_duration(text)
