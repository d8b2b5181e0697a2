"""A radar: one spoke for each name, one outline for each model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from advss_zoo.results_page.charts.axes import GRID, linear
from advss_zoo.results_page.charts.dots import Series
from advss_zoo.results_page.scene import WIDTH, Anchor, Line, Mark, Point, Scene, Style, Text, fitted, with_legend

RADIUS = 100.0
SPACE = 30.0  # around the outermost ring, for names
FEWEST = 3  # spokes


def draw(spokes: Sequence[str], series: Sequence[Series]) -> Scene:
    """Draw all series in percent; an outline is open where a spoke has no value of it."""
    x0, y0 = WIDTH / 2, RADIUS + SPACE
    scale = linear([0, *(value.value for one in series for value in one.values.values())], low=0, ticks=5)

    def at(place: int, share: float) -> Point:
        angle = 2 * math.pi * place / len(spokes)
        return x0 + share * RADIUS * math.sin(angle), y0 - share * RADIUS * math.cos(angle)

    marks: list[Mark] = [
        Line(tuple(at(place, scale(ring)) for place in range(len(spokes))), GRID, closed=True)
        for ring, _ in scale.ticks[1:]
    ]
    marks += [Line(((x0, y0), at(place, 1)), GRID) for place in range(len(spokes))]
    for one in series:
        marks += _outline(spokes, one, lambda place, value: at(place, scale(value)))
    marks += [Text(x0 - 4, at(0, scale(ring))[1], label, "end", "soft", 10, halo=True) for ring, label in scale.ticks]
    for place, name in enumerate(spokes):
        x, y = at(place, 1 + 12 / RADIUS)
        side = x - x0
        anchor: Anchor = "middle" if abs(side) < 12 else "start" if side > 0 else "end"
        room = WIDTH - 8 if anchor == "middle" else WIDTH / 2 - abs(side) - 4
        marks.append(Text(x, y, fitted(name, room, 11), anchor, size=11, tip=name))
    return with_legend(Scene(2 * (RADIUS + SPACE), tuple(marks)), [one.look.entry(one.label) for one in series])


def _outline(spokes: Sequence[str], one: Series, at: Callable[[int, float], Point]) -> list[Mark]:
    corners = {place: at(place, one.values[name].value) for place, name in enumerate(spokes) if name in one.values}
    marks: list[Mark] = []
    if len(corners) == len(spokes):
        points = tuple(corners.values())
        marks.append(Line(points, Style(fill=one.look.colour, opacity=0.1), closed=True))
        marks.append(Line(points, one.look.line, closed=True))
    else:
        for place in corners:
            if (after := (place + 1) % len(spokes)) in corners:
                marks.append(Line((corners[place], corners[after]), one.look.line))
    for place, (x, y) in corners.items():
        name = spokes[place]
        marks.append(one.look.marker(x, y, f"{one.label}, {name}: {one.values[name].value:.2f}", radius=3.2))
    return marks
