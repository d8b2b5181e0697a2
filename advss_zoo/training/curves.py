"""The picture of a run: training loss, and TA and RA on validation, by epoch."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advss_zoo.files import write_bytes
from advss_zoo.training.log import Record


def draw(records: list[Record], path: Path) -> None:
    """Write the curves of a log as a PNG file."""
    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.14, top=0.97, wspace=0.17)  # a layout engine draws twice
    losses = [record for record in records if "loss" in record]
    left.plot([r["epoch"] for r in losses], [r["loss"] for r in losses], linewidth=0.8, color="0.3")
    left.set(xlabel="epoch", ylabel="training loss")
    measured = [record for record in records if "validation" in record]
    for key, label in (("ta", "TA (clean)"), ("ra", "RA (attacked)")):
        right.plot(
            [r["epoch"] for r in measured], [100 * r["validation"][key] for r in measured], "o-", ms=3, label=label
        )
    right.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(0, 100))
    right.legend(loc="lower right")
    right.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())
