"""Accuracy against robustness: one labelled mark for each model, with its intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advss_zoo.results_page.charts.axes import Frame, linear
from advss_zoo.results_page.charts.labels import Box, Labelled, place
from advss_zoo.results_page.charts.series import Look, Value, whisker
from advss_zoo.results_page.scene import (
    WIDTH,
    Circle,
    Line,
    Mark,
    Scene,
    Style,
    Text,
    fitted,
    marker,
    text_width,
)

HEIGHT = 320.0
LONGEST = 160.0  # of a label
SMALLEST, PER_EPOCH = 4.2, 0.85  # a marker's radius grows with the root of the epochs


@dataclass(frozen=True)
class Dot:
    """One model, in percent; without a look it is somebody else's, drawn hollow and grey."""

    label: str
    ta: Value
    ra: Value
    epochs: float | None = None
    look: Look | None = None

    @property
    def radius(self) -> float:
        return SMALLEST if self.epochs is None else max(SMALLEST, PER_EPOCH * self.epochs**0.5)

    @property
    def tip(self) -> str:
        epochs = "" if self.epochs is None else f", {self.epochs:g} epochs"
        return f"{self.label}: TA {self.ta.value:.2f}, RA {self.ra.value:.2f}{epochs}"


def draw(dots: Sequence[Dot], x_label: str, y_label: str) -> Scene:
    ta, ra = ([dot.ta for dot in dots], [dot.ra for dot in dots])
    frame = Frame(linear(_ends(ta)), linear(_ends(ra)), height=HEIGHT)
    marks = frame.marks(x_label, y_label)
    for dot in dots:
        x, y = frame.at(dot.ta.value, dot.ra.value)
        colour = dot.look.colour if dot.look else "soft"
        if dot.ta.interval:
            low, high = map(frame.across, dot.ta.interval)
            marks.append(whisker((low, high), (y, y), colour))
        if dot.ra.interval:
            low, high = map(frame.up, dot.ra.interval)
            marks.append(whisker((x, x), (low, high), colour))
        marks += _marks(dot, x, y)
    return Scene(HEIGHT, (*marks, *_labels(frame, dots)))


def _ends(values: Sequence[Value]) -> list[float]:
    """Everything that must be inside the frame, and some air around it, but no less than 0 and no more than 100."""
    found = [end for value in values for end in value.ends]
    low, high = min(found), max(found)
    air = max(0.08 * (high - low), 0.5)
    return [max(0.0, low - air), min(100.0, high + air)]


def _marks(dot: Dot, x: float, y: float) -> list[Mark]:
    if dot.look is None:
        return [Circle(x, y, dot.radius, Style(stroke="soft", fill="paper", width=1.3), dot.tip)]
    style = Style(stroke=dot.look.colour, fill=dot.look.colour, width=1.2, opacity=0.85)
    return [marker(dot.look.shape, x, y, dot.radius, style, dot.tip)]


def _labels(frame: Frame, dots: Sequence[Dot]) -> Iterator[Mark]:
    texts = [fitted(dot.label, LONGEST) for dot in dots]
    inside = frame.left + 2, frame.top, WIDTH - 2, frame.height - frame.bottom
    marks = [
        Labelled(frame.at(dot.ta.value, dot.ra.value), dot.radius, text_width(text))
        for dot, text in zip(dots, texts, strict=True)
    ]
    intervals = [box for dot in dots for box in _intervals(frame, dot)]
    for dot, text, found in zip(dots, texts, place(marks, intervals, inside), strict=True):
        colour = dot.look.colour if dot.look else "soft"
        if found.leader:
            yield Line(found.leader, Style(stroke=colour, width=0.8))
        yield Text(*found.at, text, found.anchor, colour, bold=bool(dot.look), halo=True, tip=dot.label)


def _intervals(frame: Frame, dot: Dot) -> Iterator[Box]:
    """What they cover."""
    x, y = frame.at(dot.ta.value, dot.ra.value)
    if dot.ta.interval:
        yield frame.across(dot.ta.interval[0]), y - 1, frame.across(dot.ta.interval[1]), y + 1
    if dot.ra.interval:
        yield x - 1, frame.up(dot.ra.interval[1]), x + 1, frame.up(dot.ra.interval[0])
