"""Results as one page to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from advss_zoo.results_page.collect import collect, folder_of
from advss_zoo.results_page.page import Report


@dataclass(frozen=True)
class WrittenReport:
    """A page that was written; `figures` are its figures as SVG and PNG files, `left_out` says what is not on it."""

    path: Path
    figures: tuple[Path, ...]
    left_out: tuple[str, ...]


def report(
    folders: str | Path | Iterable[str | Path],
    html: str | Path = "report.html",
    figures: str | Path | None = None,
    baseline: str | None = None,
) -> WrittenReport:
    """Make one page of everything that `advss eval` and `advss train` left below folders.

    Args:
        folders: one or several, with results or runs, or names of checkpoints of the zoo.
        html: the page, which needs no network and no other file.
        figures: a folder for each figure as SVG and PNG; None: none.
        baseline: the model among them that mCE of corruptions is against.

    Raises:
        UsageError: no folder holds a result or the log of a run, or the baseline none under corruptions.
        AdvssError: nothing of what is there can be read, or a file cannot be written.
    """
    several = [folders] if isinstance(folders, str | Path) else folders
    page = Report(collect(folder_of(str(folder)) for folder in several), baseline)
    page.write(Path(html))
    drawn = page.write_figures(Path(figures)) if figures is not None else []
    return WrittenReport(Path(html), tuple(drawn), tuple(page.left_out))
