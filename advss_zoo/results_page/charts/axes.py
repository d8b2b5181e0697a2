"""Scales, and the frame of a figure with two axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from advss_zoo.results_page.scene import WIDTH, Line, Mark, Point, Style, Text, text_width

GRID = Style(stroke="line")
AXIS = Style(stroke="axis")


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` as shares of an axis; `ticks` are values and their labels."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(x) if self.logarithmic else x for x in (self.low, self.high, value))
        return (at - low) / (high - low)


def linear(values: Iterable[float], *, low: float | None = None, high: float | None = None, ticks: int = 6) -> Scale:
    """Return a scale with round ends around the values, which may be fixed, and about so many ticks; wider than
    nothing.
    """
    values = list(values)
    if high is not None and low == high:
        high += 1
    first, last = min(values) if low is None else low, max(values) if high is None else high
    if first == last:
        first, last = first - 1, last + 1
    step = _round_step((last - first) / max(ticks - 1, 1))
    first = math.floor(first / step + 1e-9) * step if low is None else low
    last = math.ceil(last / step - 1e-9) * step if high is None else high
    count = math.floor((last - first) / step + 1e-9)
    return Scale(first, last, tuple((first + step * tick, f"{first + step * tick:.6g}") for tick in range(count + 1)))


def _round_step(step: float) -> float:
    size = 10.0 ** math.floor(math.log10(step))
    return next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * (1 - 1e-9))


def at_values(values: Iterable[float], *, logarithmic: bool = False) -> Scale:
    """Return a scale from the least to the greatest of several values, with ticks at the values."""
    found = sorted(set(values))
    air = 1.1 if logarithmic else 1.0
    return Scale(found[0] / air, found[-1] * air, tuple((value, f"{value:.6g}") for value in found), logarithmic)


@dataclass(frozen=True)
class Frame:
    """The place in which values are drawn, in pixels."""

    x: Scale
    y: Scale
    height: float = 262.0
    left: float = 36.0
    right: float = 12.0
    top: float = 26.0
    bottom: float = 40.0

    def across(self, value: float) -> float:
        return self.left + self.x(value) * (WIDTH - self.left - self.right)

    def up(self, value: float) -> float:
        return self.height - self.bottom - self.y(value) * (self.height - self.top - self.bottom)

    def at(self, x: float, y: float) -> Point:
        return self.across(x), self.up(y)

    def marks(self, x_label: str, y_label: str) -> list[Mark]:
        """Draw grid, ticks and labels."""
        right, foot = WIDTH - self.right, self.height - self.bottom
        marks: list[Mark] = [Line(((self.left, self.up(y)), (right, self.up(y))), GRID) for y, _ in self.y.ticks]
        marks += [Text(self.left - 6, self.up(y), label, "end", "soft") for y, label in self.y.ticks]
        marks.append(Line(((self.left, foot), (right, foot)), AXIS))
        shown = _apart([(self.across(x), label) for x, label in self.x.ticks])
        marks += [Line(((x, foot), (x, foot + 4)), AXIS) for x, _ in shown]
        marks += [Text(x, foot + 13, label, "middle", "soft") for x, label in shown]
        marks.append(Text((self.left + right) / 2, foot + 31, x_label, "middle", "soft"))
        marks.append(Text(0, 9, y_label, colour="soft"))
        return marks


def _apart(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those labels, from the last backwards, that do not touch the one after them."""
    kept: list[tuple[float, str]] = []
    for x, label in reversed(labels):
        if not kept or x + text_width(label) / 2 + 4 < kept[-1][0] - text_width(kept[-1][1]) / 2:
            kept.append((x, label))
    return kept[::-1]
