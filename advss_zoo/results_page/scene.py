"""A figure as a few kinds of marks in a plane, for SVG inside the page, SVG as a file, and PNG.

Lengths are pixels of a figure `WIDTH` wide, y grows downwards. Colours are names of the palette.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from PIL import Image

from advss_zoo.results_page.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WIDTH = 360.0  # a phone shows it nearly as it is, a desktop a quarter larger
TEXT = 12.0
PNG_SCALE = 3.0

Point: TypeAlias = tuple[float, float]
Anchor: TypeAlias = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Style:
    """What is None is not drawn."""

    stroke: str | None = None
    fill: str | None = None
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Line:
    """Straight pieces through points, or a polygon."""

    points: tuple[Point, ...]
    style: Style
    closed: bool = False
    tip: str | None = None  # shown under the pointer
    kind: Literal["line"] = "line"


@dataclass(frozen=True)
class Circle:
    x: float
    y: float
    radius: float
    style: Style
    tip: str | None = None
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Text:
    """One line of text whose middle line is at y."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    colour: str = "ink"
    size: float = TEXT
    bold: bool = False
    halo: bool = False  # a rim of paper keeps it readable over lines
    tip: str | None = None
    kind: Literal["text"] = "text"

    @property
    def width(self) -> float:
        return text_width(self.text, self.size)


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data: link, its corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    link: str
    tip: str | None = None
    kind: Literal["picture"] = "picture"


Mark: TypeAlias = Line | Circle | Text | Picture


@dataclass(frozen=True)
class Scene:
    height: float
    marks: tuple[Mark, ...]
    width: float = WIDTH


def text_width(text: str, size: float = TEXT) -> float:
    """Estimate the width of a text in common fonts; the font of the page is not known here."""
    narrow, slim, wide = "ijl.,:;|'!()[] ", "tfr-", "mwMW@%"
    shares = (0.32 if c in narrow else 0.43 if c in slim else 0.9 if c in wide else 0.6 for c in text)
    return sum(shares) * size


def fitted(text: str, width: float, size: float = TEXT) -> str:
    """Return the text, cut short with an ellipsis where it is wider than `width`."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"


def box(x: float, y: float, width: float, height: float, style: Style, tip: str | None = None) -> Line:
    corners = (x, y), (x + width, y), (x + width, y + height), (x, y + height)
    return Line(corners, style, closed=True, tip=tip)


# --- markers ----------------------------------------------------------------------------------------------------------

SHAPES = ("circle", "square", "triangle", "diamond", "wedge", "cross")
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2.5), (8, 3, 2, 3), (4, 2), (10, 4))


def _regular(corners: int, turn: float, reach: float) -> tuple[Point, ...]:
    angles = (2 * math.pi * corner / corners + turn for corner in range(corners))
    return tuple((reach * math.sin(angle), -reach * math.cos(angle)) for angle in angles)


_ARM, _END = 0.36, 1.12
_OUTLINES: dict[str, tuple[Point, ...]] = {
    "square": _regular(4, math.pi / 4, 1.25),
    "triangle": _regular(3, 0, 1.35),
    "diamond": _regular(4, 0, 1.35),
    "wedge": _regular(3, math.pi, 1.35),
    "cross": (
        *((-_ARM, -_END), (_ARM, -_END), (_ARM, -_ARM), (_END, -_ARM), (_END, _ARM), (_ARM, _ARM)),
        *((_ARM, _END), (-_ARM, _END), (-_ARM, _ARM), (-_END, _ARM), (-_END, -_ARM), (-_ARM, -_ARM)),
    ),
}


def marker(shape: str, x: float, y: float, radius: float, style: Style, tip: str | None = None) -> Mark:
    """Return a shape with about the area of a circle of that radius."""
    if shape == "circle":
        return Circle(x, y, radius, style, tip)
    return Line(tuple((x + radius * dx, y + radius * dy) for dx, dy in _OUTLINES[shape]), style, closed=True, tip=tip)


# --- legends ----------------------------------------------------------------------------------------------------------

LEGEND_ROW = 19.0


@dataclass(frozen=True)
class LegendEntry:
    """A line of a legend: what is drawn before the text, around (0, 0), and the text."""

    text: str
    sample: tuple[Mark, ...]


def with_legend(scene: Scene, entries: Iterable[LegendEntry], left: float = 8.0) -> Scene:
    """Return the scene, taller by a legend below it that flows from line to line."""
    marks, x, y = list(scene.marks), left, scene.height + LEGEND_ROW / 2
    for entry in entries:
        text = fitted(entry.text, scene.width - left - 30)
        needed = 30 + text_width(text) + 14
        if x > left and x + needed - 14 > scene.width:
            x, y = left, y + LEGEND_ROW
        marks += [_moved(mark, x + 11, y) for mark in entry.sample]
        marks.append(Text(x + 28, y, text))
        x += needed
    return Scene(y + LEGEND_ROW / 2 + 2, tuple(marks), scene.width)


def _moved(mark: Mark, x: float, y: float) -> Mark:
    if isinstance(mark, Line):
        return replace(mark, points=tuple((px + x, py + y) for px, py in mark.points))
    return replace(mark, x=mark.x + x, y=mark.y + y)


# --- as a picture -----------------------------------------------------------------------------------------------------


def to_png(scene: Scene) -> bytes:
    """Return the scene on white paper, `PNG_SCALE` times as large."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(scene.width / 72, scene.height / 72), dpi=72 * PNG_SCALE, facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    for place, mark in enumerate(scene.marks):
        axes.add_artist(_picture(mark, axes, place) if isinstance(mark, Picture) else _artist(mark, place))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _picture(mark: Picture, axes: Axes, place: int) -> Artist:
    from matplotlib.image import AxesImage

    extent = mark.x, mark.x + mark.width, mark.y + mark.height, mark.y
    artist = AxesImage(axes, extent=extent, interpolation="nearest", zorder=place)
    content = base64.b64decode(mark.link.partition(",")[2])
    artist.set_data(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    return artist


def _artist(mark: Line | Circle | Text, place: int) -> Artist:
    from matplotlib import patches, path, patheffects, text

    if isinstance(mark, Text):
        return text.Text(
            mark.x,
            mark.y,
            mark.text,
            color=LIGHT[mark.colour],
            size=mark.size,
            weight="bold" if mark.bold else "normal",
            ha={"start": "left", "middle": "center", "end": "right"}[mark.anchor],
            va="center",
            parse_math=False,
            zorder=place,
            path_effects=[patheffects.withStroke(linewidth=3, foreground=LIGHT["paper"])] if mark.halo else [],
        )
    style = mark.style
    colours = {
        "edgecolor": LIGHT[style.stroke] if style.stroke else "none",
        "facecolor": LIGHT[style.fill] if style.fill else "none",
        "linewidth": style.width,
        "linestyle": (0, style.dash) if style.dash else "-",
        "alpha": style.opacity,
        "zorder": place,
    }
    if isinstance(mark, Circle):
        return patches.Circle((mark.x, mark.y), mark.radius, **colours)
    corners = [*mark.points, mark.points[0]] if mark.closed else list(mark.points)
    return patches.PathPatch(path.Path(corners, closed=mark.closed), joinstyle="round", capstyle="round", **colours)
