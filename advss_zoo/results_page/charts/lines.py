"""Curves: what becomes of a value as something grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advss_zoo.results_page.charts.axes import Frame, Scale
from advss_zoo.results_page.charts.series import Look, Value, whisker
from advss_zoo.results_page.scene import Line, Mark, Scene, with_legend

MANY = 24  # points of a curve beyond which none is marked
ASIDE, MOST_ASIDE = 3.0, 12.0  # how far apart curves are drawn, and all of them, so that intervals can be seen


@dataclass(frozen=True)
class Curve:
    label: str
    look: Look
    points: tuple[tuple[float, Value], ...]  # by rising x
    hollow: bool = False


def draw(curves: Sequence[Curve], x: Scale, y: Scale, x_label: str, y_label: str) -> Scene:
    frame = Frame(x, y)
    marks: list[Mark] = frame.marks(x_label, y_label)
    for place, curve in enumerate(curves):
        aside = min(ASIDE, MOST_ASIDE / len(curves)) * (place - (len(curves) - 1) / 2)
        places = [(frame.across(at) + aside, frame.up(found.value), at, found) for at, found in curve.points]
        for px, _, _, found in places:
            if found.interval:
                low, high = map(frame.up, found.interval)
                marks.append(whisker((px, px), (low, high), curve.look.colour))
        if len(places) > 1:
            marks.append(Line(tuple((px, py) for px, py, _, _ in places), curve.look.line))
        if len(places) <= MANY:
            marks += [
                curve.look.marker(px, py, f"{curve.label}: {found.value:.2f} at {at:g}", hollow=curve.hollow)
                for px, py, at, found in places
            ]
    scene = Scene(frame.height, tuple(marks))
    return with_legend(scene, [curve.look.entry(curve.label) for curve in curves]) if len(curves) > 1 else scene
