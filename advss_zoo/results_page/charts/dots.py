"""Dots in rows: values that belong to names, side by side for several models, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advss_zoo.results_page.charts.axes import AXIS, GRID, linear
from advss_zoo.results_page.charts.series import Look, Value, whisker
from advss_zoo.results_page.scene import WIDTH, Line, Mark, Scene, Text, fitted, text_width, with_legend

APART = 11.0  # between the dots of a row
MARGIN = 12.0  # above and below them
LONGEST = 150.0  # of a name


@dataclass(frozen=True)
class Series:
    label: str
    look: Look
    values: dict[str, Value]  # by row


def draw(rows: Sequence[str], series: Sequence[Series], x_label: str) -> Scene:
    """Draw every row with all series, in percent; missing values are left out."""
    left = min(LONGEST, max(text_width(row) for row in rows)) + 12
    found = [value for one in series for value in one.values.values()]
    scale = linear([0, *(max(value.ends) for value in found)])

    def across(value: float) -> float:
        return left + scale(value) * (WIDTH - left - 14)

    height = MARGIN * 2 + APART * (len(series) - 1)
    foot = height * len(rows) + 4
    marks: list[Mark] = [Line(((across(x), 0), (across(x), foot)), GRID) for x, _ in scale.ticks]
    marks += [Text(across(x), foot + 12, label, "middle", "soft") for x, label in scale.ticks]
    reach = text_width(x_label) / 2
    marks.append(Text(min((left + WIDTH - 14) / 2, WIDTH - reach), foot + 30, x_label, "middle", "soft"))
    marks.append(Line(((left, 0), (left, foot)), AXIS))
    for place, row in enumerate(rows):
        top = place * height
        marks.append(Text(left - 8, top + height / 2, fitted(row, LONGEST), "end", tip=row))
        if place:
            marks.append(Line(((0, top), (left, top)), GRID))
        for line, one in enumerate(series):
            if value := one.values.get(row):
                y = top + MARGIN + APART * line
                if value.interval:
                    low, high = map(across, value.interval)
                    marks.append(whisker((low, high), (y, y), one.look.colour))
                marks.append(one.look.marker(across(value.value), y, f"{one.label}, {row}: {value.value:.2f}"))
    return with_legend(Scene(foot + 42, tuple(marks)), [one.look.entry(one.label, line=False) for one in series])
