"""`advss reproduce TABLE`: ours beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, examples
from advss_zoo.cli.output import out
from advss_zoo.files import write_bytes
from advss_zoo.texts import duration

if TYPE_CHECKING:
    from advss_zoo.reproduction.plan import Step
    from advss_zoo.reproduction.standing import Profile
    from advss_zoo.reproduction.tables import Comparison

EXAMPLES = examples(
    "advss reproduce table3",
    "advss reproduce table3 --tag r50 --json",
    "advss reproduce fig1 --out runs",
    "advss reproduce table6 --tag mini --run",
    "advss reproduce all --tag mini --markdown results.md",
)
ALL = "all"
WITH_INTERVALS = ("ta", "ra")
PICKS = """
Note: The paper's weights are those with the best validation TA; ours are the deployed ones (`advss show` names them).
--run also evaluates the weights with the best validation TA or RA; they are shown below."""


def command(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="table3 to table8, fig1, fig3, fig4, fig5, or all.")],
    tag: Annotated[
        str | None, typer.Option(help="Size of our networks; default: that of the default checkpoint.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Train and evaluate missing checkpoints first.")] = False,
    profile: Annotated[Literal["paper", "fast"], typer.Option(help="Profile of our recipes.")] = "fast",
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of runs, results and figures.")] = Path(
        "runs"
    ),
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the tables as one page of Markdown.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare our results with a table of the paper.

    Our numbers are those on the cards, else the results of `advss eval` in the folder of runs; without --run nothing is
    computed. TA is the accuracy on clean images, RA that under PGD-20, in percent with 95% intervals. Below the table
    are the paper's claims, whether they hold for ours, and what is missing. Checkpoints that do not match their
    current recipe are shown but not judged. --run trains and evaluates the missing checkpoints; repeat it to continue.
    """
    out.json = json
    import_torch()
    from advss_zoo.models.devices import pick_device
    from advss_zoo.reproduction import pages, paper
    from advss_zoo.workflows.reproduce import reproduce

    names = paper.names() if table == ALL else [table]
    device = pick_device("auto")
    with out.steps() as progress:
        found = [
            reproduce(name, tag=tag, runs=folder, profile=profile, make=run, device=device, progress=progress)
            for name in names
        ]
    if markdown:
        write_bytes(markdown, pages.render(found).encode())
    if json:
        documents = [_document(each, folder, device, profile) for each in found]
        out.line("", document=documents if table == ALL else documents[0])
        return
    for each in found if not markdown else ():
        _show(each, folder, device, profile)
    if markdown:
        out.line(str(markdown))


def _document(found: Comparison, folder: Path, device: str, profile: Profile) -> dict[str, Any]:
    costs = _costs(found.missing, device, profile)
    missing = [
        step | {"seconds": seconds} for step, seconds in zip(found.to_dict()["missing"], costs.values(), strict=True)
    ]
    return found.to_dict() | {"missing": missing, "figure": _figure(found, folder)}


def _figure(found: Comparison, folder: Path) -> str | None:
    """Write Figure 1 as a picture; returns its path."""
    if found.name != "fig1":
        return None
    from advss_zoo.results_page import scene
    from advss_zoo.workflows.reproduce import figure1

    path = folder / f"fig1.{found.tag}.png"
    write_bytes(path, scene.to_png(figure1(found)))
    return str(path)


def _costs(missing: tuple[Step, ...], device: str, profile: Profile) -> dict[Step, float | None]:
    """How many seconds each step would take on this machine."""
    from advss_zoo.reproduction import plan

    costs = {}
    with out.steps() as progress:
        for done, step in enumerate(missing, start=1):
            costs[step] = plan.seconds(step, device, profile=profile)
            progress("estimating missing steps", "steps", done, len(missing), "")
    return costs


# --- for people -------------------------------------------------------------------------------------------------------


def _show(found: Comparison, folder: Path, device: str, profile: Profile) -> None:
    out.hint(f"{found.title}; the paper and ours with tag {found.tag}. In percent, with 95% intervals.")
    out.table(_rows(found), document=None)
    if figure := _figure(found, folder):
        out.hint(f"Figure: {figure}")
    _remarks(found)
    _missing(_costs(found.missing, device, profile))  # the rest need not wait for that


def _rows(found: Comparison) -> list[dict[str, str]]:
    from advss_zoo.reproduction import pages

    show_n, show_strengths = pages.particulars(found)
    rows = []
    for line in pages.lines(found):
        cells = {"what": line.label, "model": line.model}
        for metric in found.metrics:
            cells[pages.HEADINGS[metric]] = pages.cell(metric, line.values.get(metric))
            if metric in WITH_INTERVALS:
                bounds = line.ci95.get(metric)
                cells[f"{pages.HEADINGS[metric]} 95%"] = pages.interval(bounds) if bounds else ""
        if show_n:
            cells["n"] = line.n
        if show_strengths:
            cells["strengths"] = line.strengths
        rows.append(cells)
    return rows


def _remarks(found: Comparison) -> None:
    from advss_zoo.reproduction import pages

    for change in pages.changes(found):
        out.hint(f"Not judged: {change}")
    if found.claims:
        out.hint("\nThe paper's claims, judged by ours (intervals: choice of test images, not random seed):")
    for claim in found.claims:
        kind = " (observation: from the paper's numbers, not its text)" if claim.kind == "observation" else ""
        out.hint(f"- {claim.verdict}: {claim.claim}{kind}")
        for text in claim.evidence:
            out.hint(f"    {text}")
        if claim.missing:
            out.hint(f"    missing: {', '.join(claim.missing)}")
    if "ra" in found.metrics:
        out.hint(PICKS)
    for note in found.notes:
        out.hint(f"\nNote: {note}")
    for reason in found.unreadable:
        out.hint(f"\nLeft out: {reason}")
    for reason, names in pages.obstacles(found).items():
        out.hint(f"\nMissing, {reason}: {', '.join(names)}")


def _missing(costs: dict[Step, float | None]) -> None:
    possible = {step.command: seconds for step, seconds in costs.items() if step.command}
    if possible:
        out.hint("\nMissing; --run makes all, or run one by one (times for an idle machine):")
    for command, seconds in possible.items():
        out.hint(f"    {command}" + (f"    # about {duration(seconds)}" if seconds else ""))
