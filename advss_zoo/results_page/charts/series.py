"""How one model is told from another: a colour, a shape and a dash, the same in every figure of a page."""

from __future__ import annotations

from dataclasses import dataclass

from advss_zoo.results_page import palette
from advss_zoo.results_page.scene import DASHES, SHAPES, LegendEntry, Line, Mark, Style, marker

RADIUS = 4.2


@dataclass(frozen=True)
class Value:
    """A number, and its 95% interval where there is one."""

    value: float
    interval: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        """The number and the ends of its interval."""
        return (self.value, *(self.interval or ()))


@dataclass(frozen=True)
class Look:
    """Of the model at some place of a list; more than six repeat colours with other shapes."""

    place: int

    @property
    def colour(self) -> str:
        return palette.series(self.place)

    @property
    def shape(self) -> str:
        return SHAPES[(self.place + self.place // palette.SERIES) % len(SHAPES)]

    @property
    def line(self) -> Style:
        return Style(stroke=self.colour, width=1.8, dash=DASHES[self.place // palette.SERIES % len(DASHES)])

    def marker(
        self, x: float, y: float, tip: str | None = None, *, radius: float = RADIUS, hollow: bool = False
    ) -> Mark:
        fill = "paper" if hollow else self.colour
        return marker(self.shape, x, y, radius, Style(stroke=self.colour, fill=fill, width=1.4), tip)

    def entry(self, text: str, *, line: bool = True) -> LegendEntry:
        """Return the line of a legend."""
        stroke: tuple[Mark, ...] = (Line(((-11, 0), (11, 0)), self.line),) if line else ()
        return LegendEntry(text, (*stroke, self.marker(0, 0)))


def whisker(x: tuple[float, float], y: tuple[float, float], colour: str) -> Line:
    """Return the line that shows an interval."""
    return Line(((x[0], y[0]), (x[1], y[1])), Style(stroke=colour, width=1.3, opacity=0.65))
