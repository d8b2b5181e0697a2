"""Two overlapping circles whose areas, and the area they share, are the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advss_zoo.results_page.scene import TEXT, WIDTH, Circle, Line, Mark, Scene, Style, Text, fitted, text_width

LARGEST = 92.0  # radius
HEIGHT = 238.0
MIDDLE = 124.0


@dataclass(frozen=True)
class Counts:
    only_one: int
    only_other: int
    both: int

    @property
    def union(self) -> int:
        return self.only_one + self.only_other + self.both


def draw(one: str, other: str, counts: Counts, lines: tuple[str, str, str]) -> Scene:
    """Draw two circles under their names; `lines` go below the counts of only one, both, only the other."""
    sizes = counts.only_one + counts.both, counts.only_other + counts.both
    scale = LARGEST / math.sqrt(max(*sizes, 1))
    radii = scale * math.sqrt(sizes[0]), scale * math.sqrt(sizes[1])
    distance = _distance(radii, math.pi * scale**2 * counts.both)
    left = (WIDTH - (radii[0] + distance + radii[1])) / 2 + radii[0]
    right = left + distance
    marks: list[Mark] = [
        Circle(x, MIDDLE, radius, style)
        for filled in (True, False)
        for x, radius, colour in ((left, radii[0], "s1"), (right, radii[1], "s2"))
        for style in [Style(stroke=colour, fill=colour if filled else None, opacity=0.25 if filled else 1, width=1.8)]
        if radius
    ]
    marks += [
        Text(6, 10, fitted(one, WIDTH / 2 - 12), colour="s1", bold=True, tip=one),
        Text(WIDTH - 6, 10, fitted(other, WIDTH / 2 - 12), "end", "s2", bold=True, tip=other),
    ]
    left_end, right_end = right - radii[1], left + radii[0]  # of what they share
    regions = (
        (left - radii[0], min(left_end, right_end), 6 + text_width(lines[0]) / 2),
        (left_end, right_end, WIDTH / 2),
        (max(right_end, left_end), right + radii[1], WIDTH - 6 - text_width(lines[2]) / 2),
    )
    numbers = counts.only_one, counts.both, counts.only_other
    for (start, end, aside), number, line in zip(regions, numbers, lines, strict=True):
        marks += _region(start, end, aside, f"{number:,}", line)
    return Scene(HEIGHT, tuple(marks))


def _region(start: float, end: float, aside: float, number: str, line: str) -> list[Mark]:
    """The count in the middle of its region, or below the circles with a line to it where it would not fit."""
    x, needed = (start + end) / 2, max(text_width(number, 15), text_width(line))
    if end - start >= needed + 6:
        return [
            Text(x, MIDDLE - 8, number, "middle", size=15, bold=True),
            Text(x, MIDDLE + 10, line, "middle", size=TEXT),
        ]
    x = min(max(x, needed / 2), WIDTH - needed / 2)
    at = min(max(aside, needed / 2), WIDTH - needed / 2)
    return [
        Line((((start + end) / 2, MIDDLE), (at, HEIGHT - 36)), Style(stroke="soft", width=1)),
        Text(at, HEIGHT - 26, number, "middle", size=15, bold=True, halo=True),
        Text(at, HEIGHT - 9, line, "middle", size=TEXT, halo=True),
    ]


def _distance(radii: tuple[float, float], area: float) -> float:
    """How far apart two circles are that share this area, by bisection."""
    apart, inside = radii[0] + radii[1], abs(radii[0] - radii[1])
    for _ in range(60):
        middle = (apart + inside) / 2
        if shared_area(radii, middle) > area:
            inside = middle
        else:
            apart = middle
    return (apart + inside) / 2


def shared_area(radii: tuple[float, float], distance: float) -> float:
    """Of two circles whose centres are so far apart."""
    one, other = radii
    if distance >= one + other or not min(radii):
        return 0.0
    if distance <= abs(one - other):
        return math.pi * min(radii) ** 2
    to_one = (distance**2 + one**2 - other**2) / (2 * distance)
    to_other = distance - to_one

    def segment(radius: float, to: float) -> float:
        return radius**2 * math.acos(max(-1.0, min(1.0, to / radius))) - to * math.sqrt(max(0.0, radius**2 - to**2))

    return segment(one, to_one) + segment(other, to_other)
