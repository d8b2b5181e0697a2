"""A heat map: a table of shares in which the shade says what the number says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from advss_zoo.results_page.palette import shade
from advss_zoo.results_page.scene import WIDTH, Line, Mark, Scene, Style, Text, box, fitted, text_width

Ramp = Literal["a", "w"]  # of accuracies, of wrong answers

SIZE = 11.0  # of the numbers and headings
LONGEST = 118.0  # of a row's name, or what is left beside cells of this width
ROOMY = 44.0
NARROWEST = 17.0  # a cell that still holds a number
HEADING_LINES = 3
GAP = 5.0  # before what `gaps` says


def draw(
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    ramp: Ramp,
    *,
    row_gaps: Sequence[int] = (),
    column_gaps: Sequence[int] = (),
    row_heading: str = "",
    column_heading: str = "",
) -> Scene:
    """Draw shares (0 to 1) by row and column, with percent where there is room and gaps before some places."""
    longest = max(LONGEST, WIDTH - 8 - GAP * len(column_gaps) - ROOMY * len(columns))
    left = min(longest, max(text_width(row) for row in rows)) + 8
    width = min(64.0, (WIDTH - left - GAP * len(column_gaps)) / len(columns))
    height = 20.0 if len(rows) > 6 else 28.0
    headings = [_wrapped(column, width) for column in columns]
    lines = max(map(len, headings))
    top = 15.0 * lines + 4 + (18 if column_heading else 0)

    def across(place: int) -> float:
        return left + place * width + GAP * sum(gap <= place for gap in column_gaps)

    def down(place: int) -> float:
        return top + place * height + GAP * sum(gap <= place for gap in row_gaps)

    marks: list[Mark] = [
        Text(left - 8, top - 11, row_heading, "end", "soft", bold=True),
        Text(left, 9, column_heading, colour="soft", bold=True),
    ]
    for place, found in enumerate(headings):
        for line, text in enumerate(found):
            y = top - 11 - 15 * (len(found) - 1 - line)
            marks.append(Text(across(place) + width / 2, y, text, "middle", "soft", SIZE, tip=columns[place]))
    for place, row in enumerate(rows):
        marks.append(Text(left - 8, down(place) + height / 2, fitted(row, longest), "end", tip=row))
        for column, share in enumerate(shares[place]):
            tip = f"{row}, {columns[column]}: {'no value' if share is None else f'{100 * share:.2f}'}"
            marks += _cell(across(column), down(place), width, height, share, ramp, tip)
    return Scene(down(len(rows) - 1) + height + 4, tuple(marks))


def _cell(x: float, y: float, width: float, height: float, share: float | None, ramp: Ramp, tip: str) -> list[Mark]:
    if share is None:
        style = Style(stroke="axis", width=1.2)
        return [Line(((x + width / 2 - 4, y + height / 2), (x + width / 2 + 4, y + height / 2)), style, tip=tip)]
    colour = shade(ramp, share)
    marks: list[Mark] = [box(x + 0.75, y + 0.75, width - 1.5, height - 1.5, Style(fill=colour), tip)]
    if width >= NARROWEST:
        text = f"{100 * share:.1f}" if width >= 30 else f"{100 * share:.0f}"
        marks.append(Text(x + width / 2, y + height / 2, text, "middle", f"C{colour}", SIZE, tip=tip))
    return marks


def _wrapped(text: str, width: float) -> list[str]:
    """At most three lines, broken after hyphens, plus signs, dots and blanks; what is left over is cut."""
    lines = [""]
    for part in re.findall(r"[^-+. ]*[-+. ]?", text):
        if lines[-1] and text_width(lines[-1] + part.rstrip(), SIZE) > width - 2 and len(lines) < HEADING_LINES:
            lines.append("")
        lines[-1] += part
    return [fitted(line.strip(), width, SIZE) for line in lines]
