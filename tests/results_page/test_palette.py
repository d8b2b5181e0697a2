"""Every colour can be read on what it lies on, by day and by night."""

from __future__ import annotations

import re

import pytest

from advss_zoo.results_page.page import TEMPLATES
from advss_zoo.results_page.palette import BLACK, DARK, LIGHT, SERIES, STEPS, WHITE, Palette, contrast, luminance, shade

PALETTES = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
TEXT, GRAPHICS = 4.5, 3.0  # WCAG 2.2, AA


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)  # the example of every guide
    assert contrast(WHITE, "#777777") == contrast("#777777", WHITE)


@PALETTES
def test_texts_can_be_read(palette: Palette) -> None:
    for name in ("ink", "soft", "link", *(f"s{place}" for place in range(1, SERIES + 1))):
        for paper in ("paper", "panel"):
            assert contrast(palette[name], palette[paper]) >= TEXT, name


@PALETTES
def test_numbers_on_shades_can_be_read(palette: Palette) -> None:
    for ramp in "aw":
        for step in range(STEPS + 1):
            assert contrast(palette[f"C{ramp}{step}"], palette[f"{ramp}{step}"]) >= TEXT


@PALETTES
def test_axes_can_be_seen(palette: Palette) -> None:
    assert contrast(palette["axis"], palette["paper"]) >= GRAPHICS


@PALETTES
@pytest.mark.parametrize("ramp", ["a", "w"])
def test_a_greater_share_is_further_from_the_paper(palette: Palette, ramp: str) -> None:
    found = [luminance(palette[shade(ramp, step / STEPS)]) for step in range(STEPS + 1)]
    assert found == sorted(found, reverse=palette is LIGHT)


def test_both_have_the_same_names_and_the_style_uses_no_other() -> None:
    assert LIGHT.keys() == DARK.keys()
    used = re.findall(r"var\(--(\w+)\)", (TEMPLATES / "style.css.j2").read_text())
    assert set(used) <= LIGHT.keys()
