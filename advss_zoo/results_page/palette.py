"""The colours of the page and its figures, on light and on dark paper, by what they are for.

`s1` to `s6` tell models apart; they are Okabe and Ito's hues, which people who see fewer colours can tell apart, in
tones that can be read on the paper, and a shape always says the same. `a0` to `a20` shade accuracies from 0 to 1,
`w0` to `w20` shares of wrong answers. `Ca5` is the ink that can be read on `a5`. `tests/results_page/test_palette.py`
computes the contrasts.
"""

from __future__ import annotations

from typing import TypeAlias

Palette: TypeAlias = dict[str, str]  # name -> #rrggbb

SERIES = 6
STEPS = 20  # of a ramp, five points of percent each
BLACK, WHITE = "#000000", "#ffffff"


def luminance(colour: str) -> float:
    """Return relative luminance as WCAG 2 defines it."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast, 1 to 21, as WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _ramp(name: str, *anchors: str) -> Palette:
    """`STEPS` + 1 colours through the anchors, evenly spaced, and the ink for each."""
    found = {}
    for step in range(STEPS + 1):
        place = step / STEPS * (len(anchors) - 1)
        before = min(int(place), len(anchors) - 2)
        colour = _mixed(anchors[before], anchors[before + 1], place - before)
        found[f"{name}{step}"] = colour
        found[f"C{name}{step}"] = max(BLACK, WHITE, key=lambda ink: contrast(ink, colour))
    return found


def _mixed(one: str, other: str, share: float) -> str:
    pairs = ((int(one[place : place + 2], 16), int(other[place : place + 2], 16)) for place in (1, 3, 5))
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in pairs)


LIGHT: Palette = {
    "paper": "#ffffff",
    "panel": "#f5f7f9",
    "ink": "#15191e",
    "soft": "#57606b",
    "line": "#dde2e8",
    "axis": "#7d8793",
    "link": "#0a5aa6",
    "s1": "#0068ac",
    "s2": "#b84a00",
    "s3": "#00775a",
    "s4": "#a23b7c",
    "s5": "#806000",
    "s6": "#4a4f57",
    **_ramp("a", "#f2f6fb", "#c3d9ee", "#7fb0db", "#3a80bd", "#0d4f8b", "#06284c"),
    **_ramp("w", "#fdf5ee", "#f8d9bd", "#eeaa74", "#d6763a", "#a34a14", "#5c2503"),
}

DARK: Palette = {
    "paper": "#12161b",
    "panel": "#1a2027",
    "ink": "#e9edf1",
    "soft": "#a3adb8",
    "line": "#2c343d",
    "axis": "#75808c",
    "link": "#7cc0ff",
    "s1": "#56b4e9",
    "s2": "#ff9d5c",
    "s3": "#2fcb9f",
    "s4": "#e69bca",
    "s5": "#e8c547",
    "s6": "#c9d0d8",
    **_ramp("a", "#19212b", "#18344f", "#1b5486", "#2f7fc1", "#70b3e8", "#cfe6fb"),
    **_ramp("w", "#241c17", "#4a2a14", "#7f4216", "#bd6a2c", "#eba468", "#fbe3cd"),
}


def shade(ramp: str, share: float) -> str:
    """Return the name of the colour of a share (0 to 1) in a ramp."""
    return f"{ramp}{round(share * STEPS)}"


def series(place: int) -> str:
    return f"s{place % SERIES + 1}"
