"""Everything that was found, as one page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from advss_zoo.files import write_bytes
from advss_zoo.results_page import palette
from advss_zoo.results_page.collect import Findings
from advss_zoo.results_page.figure import Figure, Section
from advss_zoo.results_page.report_data import ReportData
from advss_zoo.results_page.scene import to_png
from advss_zoo.results_page.sections import (
    attacks,
    confusion,
    corruptions,
    gallery,
    leaderboard,
    provenance,
    strength,
    tradeoff,
    training,
    transfer,
    unforeseen,
)
from advss_zoo.texts import counted, percent
from advss_zoo.version import __version__

TEMPLATES = Path(__file__).with_name("templates")
ORDER = (
    leaderboard, tradeoff, attacks, strength, unforeseen, corruptions, transfer, confusion, gallery, training,
    provenance,
)  # fmt: skip
TITLE = "Robustness report"


class Report:
    """The sections for which there is something to show, and `left_out`: what could not be shown, and why.

    Args:
        baseline: the name of the model that mCE is against; None: no mCE.

    Raises:
        UsageError: there is no result of the baseline under corruptions.
    """

    def __init__(self, found: Findings, baseline: str | None = None) -> None:
        self._material = ReportData(found, baseline)
        parts = [module.section(self._material) for module in ORDER]
        self.sections: tuple[Section, ...] = tuple(part for part in parts if part.figures or part.context)

    @property
    def left_out(self) -> list[str]:
        return self._material.left_out

    @property
    def figures(self) -> list[Figure]:
        return [figure for section in self.sections for figure in section.figures]

    @property
    def drawings(self) -> list[Figure]:
        """The figures, and as figures what the page shows in another form."""
        return [figure for section in self.sections for figure in (*section.figures, *section.drawings)]

    def html(self) -> str:
        """Return the page; the same results make the same page.

        See `render`.
        """
        return render(TITLE, self._lead(), self.sections, self.left_out)

    def _lead(self) -> str:
        evaluations, runs = self._material.evaluations, len(self._material.runs)
        days = sorted({evaluation.date[:10] for evaluation in evaluations})
        when = "" if not days else f", measured on {days[0]}"
        if len(days) > 1:
            when = f", measured from {days[0]} to {days[-1]}"
        results = f"{counted(len(evaluations), 'result')} of {counted(self._material.models, 'model')}{when}."
        trained = f"{counted(runs, 'training run')}."
        return " ".join(text for text, there in ((results, evaluations), (trained, runs)) if there)

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            AdvssError: the file cannot be written.
        """
        write_page(path, self.html())

    def write_figures(self, folder: Path) -> list[Path]:
        """Write each of the `drawings` as SVG and as PNG, in the colours of the light page; returns the files.

        Raises:
            AdvssError: a file cannot be written.
        """
        paths = []
        for figure in self.drawings:
            contents = {".svg": svg(figure).encode(), ".png": to_png(figure.scene)}
            for suffix, content in contents.items():
                paths.append(folder / f"{figure.name}{suffix}")
                write_bytes(paths[-1], content)
        return paths


def render(title: str, lead: str, sections: Sequence[Section], left_out: Sequence[str] = ()) -> str:
    """Return a page of sections.

    It loads nothing, and its content security policy forbids that anything in it ever does: only its own style and
    script, known by their sha256, are applied. The templates escape every other text.
    """
    style = _environment().get_template("style.css.j2").render(light=palette.LIGHT, dark=palette.DARK)
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            lead=lead,
            sections=sections,
            left_out=left_out,
            style=style,
            script=script,
            sums={"style": _sum(style), "script": _sum(script)},
            version=__version__,
        )
    )


def write_page(path: Path, html: str) -> None:
    """Write a page; names in it that are not valid text have question marks.

    Raises:
        AdvssError: the file cannot be written.
    """
    write_bytes(path, html.encode(errors="replace"))


def svg(figure: Figure) -> str:
    """Return the figure as a file of its own."""
    return _environment().get_template("figure.svg.j2").render(figure=figure, colours=palette.LIGHT)


def _sum(text: str) -> str:
    """How a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"px": _pixels, "percent": partial(percent, nothing="-")}
    return environment


def _pixels(length: float) -> str:
    """A length without digits that nobody sees."""
    return f"{length:.2f}".rstrip("0").rstrip(".")
