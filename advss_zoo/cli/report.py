"""`advss report DIR ...`: results as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import examples
from advss_zoo.cli.output import out

EXAMPLES = examples(
    "advss report runs",
    "advss report runs/eval p1f4.mini --html report.html",
    "advss report runs --figures figures",
)


def command(
    folders: Annotated[
        list[str],
        typer.Argument(metavar="DIR...", help="Folders with results or training runs, or checkpoints of the zoo."),
    ],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also each figure as SVG and PNG, in this folder.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model among them that mCE of corruptions is against.")
    ] = None,
) -> None:
    """Make one page of results.

    Everything that `advss eval` and `advss train` left below the folders: a leaderboard, figures with the data behind
    them, adversarial images, training curves, and where each number came from. The page needs no network and no other
    file. What cannot be read is named and left out. Prints the page's path.
    """
    import_torch()
    from advss_zoo.workflows.report import report

    made = report(folders, html, figures, baseline)
    if figures is not None:
        out.hint(f"{len(made.figures)} figure files, SVG and PNG: {figures}")
    for reason in made.left_out:
        out.hint(f"Left out: {reason}")
    out.line(str(made.path))
