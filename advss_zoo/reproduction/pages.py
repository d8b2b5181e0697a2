"""All tables and figures of the paper with ours beside them as one page of Markdown (docs/results.md).

It has no date and no time that a machine took just now, so the same results make the same page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from advss_zoo.reproduction import tables
from advss_zoo.reproduction.claims import Judgement
from advss_zoo.reproduction.ours import TEST_IMAGES
from advss_zoo.reproduction.tables import Comparison, ComparisonRow, OurNumbers
from advss_zoo.zoo import index
from advss_zoo.zoo.index import Entry

TEMPLATE = "results.md.j2"
HEADINGS = {
    "ta": "TA",
    "ra": "RA",
    "epochs": "epochs",
    "asr": "wrong",
    "gain": "gain",
    "accuracy": "accuracy",
    "share": "share",
}
NOTHING = "-"


def render(comparisons: Sequence[Comparison]) -> str:
    """Write the page of tables of one tag."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown of our own words and numbers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    parts = [
        {"comparison": each, "table": _table(each), "changes": changes(each), "obstacles": obstacles(each)}
        for each in comparisons
    ]
    verdicts = [judgement for each in comparisons for judgement in each.claims]
    return environment.get_template(TEMPLATE).render(
        tag=comparisons[0].tag, parts=parts, counts=_counts(verdicts), made=list(_made(comparisons))
    )


def cell(metric: str, value: float | None, bounds: tables.Interval | None = None) -> str:
    """Return a number as people read it, with its interval."""
    if value is None:
        return NOTHING
    if metric == "epochs":
        return f"{value:.0f}"
    return f"{100 * value:.2f}" + (f" ({interval(bounds)})" if bounds else "")


def interval(bounds: tables.Interval) -> str:
    """Format an interval: one decimal is enough for one two points wide, two for one close to 0."""
    digits = 1 if bounds[0] >= 0.1 else 2
    return "-".join(f"{100 * bound:.{digits}f}" for bound in bounds)


def our_name(row: ComparisonRow, ours: OurNumbers | None) -> str:
    """Return what a row of ours is called: the checkpoint, which of its weights, and what is particular about it."""
    name = row.checkpoint or "ours"
    parts = [row.images, ours and ours.pick, "not judged" if ours and ours.changes else None]
    told = ", ".join(part for part in parts if part)
    return f"{name} ({told})" if told else name


def changes(comparison: Comparison) -> list[str]:
    """List why rows of ours are not judged, each reason once."""
    found = (change for row in comparison.rows for ours in row.measured for change in ours.changes)
    return list(dict.fromkeys(found))


def obstacles(comparison: Comparison) -> dict[str, list[str]]:
    """Return what cannot be made, by reason, the names of the checkpoints."""
    found: dict[str, list[str]] = {}
    for step in comparison.missing:
        if step.obstacle:
            found.setdefault(step.obstacle, []).append(step.name)
    return found


def particulars(comparison: Comparison) -> tuple[bool, bool]:
    """Do numbers of images, and strengths of attacks, have to be shown?"""
    everything = [ours for row in comparison.rows for ours in row.measured]
    return any(ours.n != TEST_IMAGES for ours in everything), any(ours.strengths for ours in everything)


class TableLine(NamedTuple):
    """One model's numbers, the paper's or ours, as a table shows them."""

    label: str
    model: str
    values: Mapping[str, float | None] = {}
    ci95: Mapping[str, tables.Interval] = {}
    n: str = ""
    strengths: str = ""


def lines(comparison: Comparison) -> Iterator[TableLine]:
    """For each model one with the paper's numbers and below it one with ours, or more where there are more picks."""
    for row in comparison.rows:
        if row.paper:
            yield TableLine(row.label, "paper", row.paper)
        for where, values in row.elsewhere.items():
            yield TableLine(row.label, f"paper, {where}", values)
        if not row.measured:
            yield TableLine(row.label, our_name(row, None))
        for ours in row.measured:
            strengths = " ".join(map(str, ours.strengths))
            yield TableLine(row.label, our_name(row, ours), ours.values, ours.ci95, f"{ours.n:,}", strengths)


def _table(comparison: Comparison) -> list[list[str]]:
    show_n, show_strengths = particulars(comparison)
    extra = ["images"] * show_n + ["strengths"] * show_strengths
    found = [["", "model", *(HEADINGS[metric] for metric in comparison.metrics), *extra]]
    for line in lines(comparison):
        numbers = [cell(metric, line.values.get(metric), line.ci95.get(metric)) for metric in comparison.metrics]
        found.append([line.label, line.model, *numbers, *[line.n] * show_n, *[line.strengths] * show_strengths])
    return found


def _counts(judgements: Iterable[Judgement]) -> dict[str, int]:
    """How many claims there are of each verdict; one that two tables share counts once."""
    claims = {each.claim: each.verdict for each in judgements if each.kind == "claim"}
    return {verdict: list(claims.values()).count(verdict) for verdict in dict.fromkeys(sorted(claims.values()))}


def _made(comparisons: Sequence[Comparison]) -> Iterator[dict[str, object]]:
    """What was trained and evaluated for the page, by what command, and what training took."""
    entries = {entry.full_name: entry for entry in index.entries()}
    wanted: dict[str, None] = {}
    for row in (row for comparison in comparisons for row in comparison.rows):
        wanted |= dict.fromkeys(_with_parents(row.checkpoint, entries))
    for name in sorted(wanted):
        entry = entries[name]
        commands = dict.fromkeys(str(result["command"]) for result in entry.results)
        yield {"name": name, "minutes": entry.training.get("minutes"), "commands": list(commands)}


def _with_parents(name: str | None, entries: dict[str, Entry]) -> list[str]:
    if name is None or name not in entries:
        return []
    return [*_with_parents(entries[name].training.get("parent"), entries), name]
