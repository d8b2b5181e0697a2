"""Figure 1: accuracy against robustness, the paper's models hollow and ours filled."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from advss_zoo.files import write_atomically
from advss_zoo.report.tables import Document

# Okabe and Ito's colours, which people who see fewer colours can tell apart.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
AREA = 2.2  # square points of marker for each epoch
SMALLEST = 24.0
UNKNOWN = 40.0  # the area where the epochs are not known
SIZES = (30, 60, 120)  # epochs shown in the legend
REACHES = (4, 9, 15, 23)  # how far from its marker a label may go, in points
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class Point:
    """One model; accuracies and their 95% intervals in percent."""

    label: str
    ta: float
    ra: float
    epochs: float | None
    colour: str
    intervals: tuple[tuple[float, float], tuple[float, float]] | None = None  # of TA and RA; the paper gives none

    @property
    def area(self) -> float:
        return UNKNOWN if self.epochs is None else max(SMALLEST, AREA * self.epochs)

    @property
    def bars(self) -> list[tuple[list[float], list[float]]]:
        """The two lines (x, y) that show the intervals."""
        if self.intervals is None:
            return []
        ta, ra = map(list, self.intervals)
        return [(ta, [self.ra] * 2), ([self.ta] * 2, ra)]


def draw(document: Document, path: Path) -> None:
    """Write Figure 1 with our points as a PNG file."""
    buffer = io.BytesIO()
    scatter(document).savefig(buffer, format="png", dpi=150)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def scatter(document: Document) -> Figure:
    """Figure 1 as a drawing, every point with its label."""
    rows = list(zip(document["rows"], COLOURS, strict=True))
    theirs = [_point(row, row["paper"], colour) for row, colour in rows]
    ours = [_point(row, row["ours"], colour) for row, colour in rows if row["ours"]]
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for points, filled in ((theirs, False), (ours, True)):
        for point in points:
            _mark(axes, point, filled)
    axes.margins(0.12)
    axes.set(xlabel="TA: accuracy on clean images (%)", ylabel="RA: accuracy under PGD-20 (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes, f"ours, {document['tag']}" if ours else None)
    figure.canvas.draw()  # the labels have to know where everything lies
    _label(axes, [*theirs, *ours], bold=range(len(theirs), len(theirs) + len(ours)))
    return figure


def _point(row: Document, values: Document, colour: str) -> Point:
    intervals = None
    if "ta_ci95" in values:
        ta, ra = ([100 * bound for bound in values[f"{metric}_ci95"]] for metric in ("ta", "ra"))
        intervals = (ta[0], ta[1]), (ra[0], ra[1])
    return Point(row["row"], 100 * values["ta"], 100 * values["ra"], values["epochs"], colour, intervals)


def _mark(axes: Axes, point: Point, filled: bool) -> None:
    face = point.colour if filled else "white"
    axes.scatter(
        [point.ta], [point.ra], s=point.area, facecolors=face, edgecolors=point.colour, linewidths=1.6, zorder=3
    )
    for x, y in point.bars:
        axes.plot(x, y, color=point.colour, linewidth=1, alpha=0.6, zorder=2)


def _legend(axes: Axes, ours: str | None) -> None:
    def handle(area: float, face: str, label: str) -> Line2D:
        return Line2D([], [], ls="", marker="o", ms=area**0.5, mfc=face, mec="0.35", mew=1.4, label=label)

    handles = [handle(60, "white", "the paper's, ResNet-50v2")] + ([handle(60, "0.35", ours)] if ours else [])
    handles += [handle(AREA * epochs, "none", f"{epochs} epochs") for epochs in SIZES]
    axes.legend(handles=handles, loc="best", frameon=False, labelspacing=1.1, borderpad=0.8)


def _label(axes: Axes, points: Sequence[Point], bold: range) -> None:
    """Put each label beside its point, where it covers no point, no interval, no legend and no other label."""
    legend = axes.get_legend()
    assert legend is not None
    taken = [legend.get_window_extent(), *(extent for point in points for extent in _extents(axes, point))]
    for position, point in enumerate(points):
        annotation = axes.annotate(
            point.label,
            (point.ta, point.ra),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=9,
            color=point.colour,
            fontweight="bold" if position in bold else "normal",
            zorder=4,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        taken.append(_place(axes, annotation, point, taken))


def _place(axes: Axes, annotation: Annotation, point: Point, taken: Sequence[Bbox]) -> Bbox:
    """Move a label to the nearest free place around its point; where there is none, to the least covered one."""

    def move(place: tuple[float, tuple[int, int]]) -> Bbox:
        reach, (right, up) = place
        distance = point.area**0.5 / 2 + reach
        annotation.set_position((right * distance, up * distance))
        annotation.set(ha=("center", "left", "right")[right], va=("center", "bottom", "top")[up])
        return annotation.get_window_extent().padded(2)

    def covered(place: tuple[float, tuple[int, int]]) -> float:
        found = move(place)
        hidden = found.width * found.height - _overlap(found, axes.get_window_extent())
        return hidden + sum(_overlap(found, other) for other in taken)

    return move(min(product(REACHES, DIRECTIONS), key=covered))  # the first of the best


def _extents(axes: Axes, point: Point) -> list[Bbox]:
    """The squares, in pixels, around a marker and along its intervals."""
    x, y = axes.transData.transform((point.ta, point.ra))
    half = point.area**0.5 / 2 * axes.figure.dpi / 72
    bars = [axes.transData.transform(list(zip(*bar, strict=True))) for bar in point.bars]
    return [Bbox.from_extents(x - half, y - half, x + half, y + half), *(Bbox(bar).padded(1) for bar in bars)]


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else common.width * common.height
