"""Sizes as people type them."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advss_zoo.attacks.eps import check_eps, parse_eps
from advss_zoo.errors import UsageError
from advss_zoo.texts import format_eps


@given(st.integers(1, 254))
def test_levels_are_read_exactly_and_written_as_fractions(level):
    assert parse_eps(f"{level}/255") == level / 255
    assert format_eps(level / 255) == f"{level}/255"


@given(st.floats(1e-9, 1))
@example(0.031)
@example(8 / 255)
@example(1.0)
def test_what_is_written_is_read_back(eps):
    assert parse_eps(format_eps(eps)) == eps


@pytest.mark.parametrize(
    ("text", "eps"),
    [(" 8 / 255 ", 8 / 255), ("1", 1.0), ("0.5/255", 0.5 / 255), (".5", 0.5), ("3e-2", 0.03), ("1e-2/1e-1", 0.1)],
)
def test_spellings(text, eps):
    assert parse_eps(text) == eps


@pytest.mark.parametrize(
    "text",
    [
        *("8/0", "0", "0/255", "-8/255", "2", "256/255"),
        *("nan", "inf", "1/inf", "abc", "", " ", "8/255/2", "/255", "8/", "+1", "0x1", "1_0/255", "1.5.2", "٨/255"),
        *("1e999999999", "1e999999999/1e999999999", "0." + "1" * 99),
    ],
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError):
        parse_eps(text)


@given(st.text() | st.text("0123456789/.eE+- "))
def test_any_text_is_a_size_or_a_sentence(text):
    for norm, largest in (("linf", 1), ("l2", float("inf"))):
        with contextlib.suppress(UsageError):
            assert 0 < parse_eps(text, norm) <= largest


def test_the_bound_is_that_of_the_norm():
    assert parse_eps("2.5", "l2") == 2.5
    with pytest.raises(UsageError, match="Did you mean 8/255"):
        parse_eps("8")


@pytest.mark.parametrize("eps", [0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_numbers_are_held_to_the_same_bounds(eps, norm):
    with pytest.raises(UsageError):
        check_eps(eps, norm)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_any_number_is_a_size(number):
    assert parse_eps(number) == check_eps(number, "linf") == 0.5
    assert type(check_eps(number, "linf")) is float


def test_what_looks_like_eight_levels_is_not_written_so():
    assert format_eps(0.031) == "0.031"
    assert format_eps(0.0313725) == "0.0313725"
    assert format_eps(0.5) == "0.5"
