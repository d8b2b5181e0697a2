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
        typer.Argument(metavar="DIR...", help="Folders of results or runs, or checkpoints of the zoo."),
    ],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Output file.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write each figure as SVG and PNG here.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Reference model for mCE, one of those in the report.")
    ] = None,
) -> None:
    """Write one HTML page of results.

    Shows all results of `advss eval` and `advss train` in the folders: a leaderboard, figures with their data,
    adversarial images, training curves, and the provenance of each number. The page is self-contained. Unreadable
    files are named and skipped. Prints the page's path.
    """
    import_torch()
    from advss_zoo.workflows.report import report

    made = report(folders, html, figures, baseline)
    if figures is not None:
        out.hint(f"{len(made.figures)} figure files, SVG and PNG: {figures}")
    for reason in made.left_out:
        out.hint(f"Left out: {reason}")
    out.line(str(made.path))
