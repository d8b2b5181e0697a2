"""`advss suite FILE`: many models by many protocols in one folder."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advss_zoo.cli.errors import FAILURE
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, OutOption, examples
from advss_zoo.cli.output import out
from advss_zoo.cli.summary import document, rows
from advss_zoo.texts import duration

if TYPE_CHECKING:
    from advss_zoo.workflows.suite import PairedDifference, SuitePart, SuiteResult

EXAMPLES = examples(
    "advss suite suites/zoo.yaml --dry-run",
    "advss suite my.yaml --compare --html report.html",
    "advss suite my.yaml --out results --json",
)


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with models and evaluations.")],
    compare: Annotated[bool, typer.Option("--compare", help="Compare models pairwise on the same images.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the results as a page.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and how long.")] = False,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate many models by many protocols.

    The file lists models, and for each data set the protocols and their settings. Results go to runs/suites/ unless
    --out says otherwise. Repeat the command to continue; start it several times in the same folder to share the work.
    With --compare, a difference is real if its paired 95% interval does not contain 0.

    Exit status 1 if an evaluation failed.
    """
    out.json = json
    import_torch()
    from advss_zoo.workflows.report import report
    from advss_zoo.workflows.suite import plan_suite, suite

    with redirect_stdout(sys.stderr), out.steps() as steps:
        planned = plan_suite(file, folder, device=device) if dry_run else []
        found = None if dry_run else suite(file, folder, device=device, progress=steps, say=steps.say)
    if found is None:
        _show_plan(planned)
        return
    _show(found, found.compare() if compare else [], compare)
    if html is not None and found.results:
        out.hint(f"Report: {report([found.folder], html).path}")
    for what, why in found.failures.items():
        out.error(f"{what}: {why}")
    if found.failures:
        raise typer.Exit(FAILURE)


def _show_plan(parts: list[SuitePart]) -> None:
    shown = [
        {
            "model": part.model,
            "data": part.evaluation.data,
            "n": f"{part.images:,}",
            "protocol": part.protocol.label(),
            "time": "done" if part.is_done else duration(part.seconds or 0.0),
        }
        for part in parts
    ]
    total = sum(part.seconds or 0.0 for part in parts)
    planned = [
        {
            "model": part.model,
            "data": part.evaluation.data,
            "n": part.images,
            "protocol": part.protocol.label(),
            "seconds": part.seconds,
            "done": part.is_done,
            "out": str(part.place),
        }
        for part in parts
    ]
    out.table(shown, document={"parts": planned, "seconds": total})
    out.hint(f"At most about {duration(total)} on a free machine; images that are broken early take less.")


def _show(found: SuiteResult, comparisons: list[PairedDifference], compared: bool) -> None:
    whole = {
        "results": [{"model": result.model.to_dict(), **document(result)} for result in found.results],
        "failures": found.failures,
        "out": str(found.folder),
        **({"comparisons": [each.to_dict() for each in comparisons]} if compared else {}),
    }
    out.table(rows(found.results), document=whole)
    if out.json:
        return
    out.table([_cells(each) for each in comparisons], document=None)
    for result in found.results:
        for warning in result.warnings:
            out.hint(f"{result.model.name}, {result.protocol.label}: Warning: {warning}")
    out.hint(f"Results: {found.folder}")


def _cells(each: PairedDifference) -> dict[str, str]:
    return {
        "one": each.one,
        "other": each.other,
        "data": each.data,
        "protocol": each.protocol,
        "metric": each.metric,
        "difference": f"{100 * each.difference:+.2f}",
        "95%": f"{100 * each.low:+.2f} to {100 * each.high:+.2f}",
        "real": "yes" if each.real else "could be chance",
    }
