"""`advss reproduce TABLE`: ours beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, examples, pick_device
from advss_zoo.cli.output import out
from advss_zoo.texts import duration

if TYPE_CHECKING:
    from advss_zoo.report.paper import Table
    from advss_zoo.report.plan import Profile, Step

EXAMPLES = examples(
    "advss reproduce table3",
    "advss reproduce table3 --tag r50 --json",
    "advss reproduce fig1 --out runs",
    "advss reproduce table6 --tag mini --run",
)
HEADINGS = {
    "ta": "TA",
    "ra": "RA",
    "epochs": "epochs",
    "asr": "wrong",
    "gain": "gain",
    "accuracy": "accuracy",
    "share": "share",
}
WITH_INTERVALS = ("ta", "ra")
PICKS = """
Note: The paper's weights are those with the best TA on validation; ours are what each checkpoint ships (`advss show` \
says which). Those of a run that are picked by TA or by RA stand below them once they are evaluated; --run does it."""


def command(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="table3 to table8, fig1, fig3, fig4 or fig5.")],
    tag: Annotated[
        Literal["mini", "r50"] | None,
        typer.Option(help="Which of our nets; left out: that of the zoo's default checkpoint."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Train and evaluate what is missing first.")] = False,
    profile: Annotated[
        Literal["paper", "fast"], typer.Option(help="Of the recipes by which what is missing is trained.")
    ] = "fast",
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder of runs, results and figures.")
    ] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Print ours beside the paper's.

    Ours are the numbers on the cards, else the results that `advss eval` left in the folder of runs; nothing is
    computed without --run. TA, the accuracy on clean images, and RA, under PGD-20, are in percent with their 95%
    intervals. Below the table: what the paper claims and whether it holds for ours, and what is missing. With --run
    the missing checkpoints are trained and evaluated; stopped and started again, it goes on where it was.
    """
    out.json = json
    import_torch()
    from advss_zoo.report import paper
    from advss_zoo.zoo import index

    wanted = paper.load(table)
    tag_name = tag or index.find(index.default_name()).tag
    if run:
        _make(wanted, tag_name, folder, profile)
    document = _document(wanted, tag_name, folder, profile)
    if json:
        _add_costs(document["missing"], profile)
        out.line("", document=document)
        return
    out.hint(_title(document))
    out.table(_rows(document), document=None)
    _remarks(document)
    _add_costs(document["missing"], profile)  # the rest need not wait for that
    _missing(document["missing"])


def _document(table: Table, tag: str, folder: Path, profile: Profile) -> dict[str, Any]:
    from advss_zoo.report import figures, tables
    from advss_zoo.report.ours import Ours

    document = tables.document(table, tag, Ours(folder), profile=profile)
    path = folder / f"fig1.{tag}.png" if table.name == "fig1" else None
    if path:
        figures.draw(document, path)
    return document | {"figure": path and str(path)}


def _add_costs(missing: list[dict[str, Any]], profile: Profile) -> None:
    """How long each step would take on this machine."""
    from advss_zoo.report import plan

    device = pick_device("auto")
    with out.progress("timing what is missing", "steps") as progress:
        for done, step in enumerate(missing, start=1):
            step["seconds"] = plan.seconds(plan.Step(**step), device, profile=profile)
            progress(done, len(missing))


# --- for people -------------------------------------------------------------------------------------------------------


def _title(document: dict[str, Any]) -> str:
    return f"{document['title']}; the paper's, and ours with tag {document['tag']}. In percent, with 95% intervals."


def _rows(document: dict[str, Any]) -> list[dict[str, str]]:
    """For each model a row with the paper's numbers and below it one with ours, or more where there are more picks."""
    from advss_zoo.report.ours import TEST_IMAGES

    metrics = document["metrics"]
    everything = [measured for row in document["rows"] for measured in (row["ours"], *row["other_picks"]) if measured]
    show_n = any(measured.get("n", TEST_IMAGES) != TEST_IMAGES for measured in everything)
    rows = []
    for row in document["rows"]:
        name = row["checkpoint"] or "ours"
        printed = {"paper": row["paper"]} if row["paper"] else {}
        theirs = printed | {f"paper, {where}": values for where, values in row["elsewhere"].items()}
        found = [measured for measured in (row["ours"], *row["other_picks"]) if measured]
        mine = {f"{name} {measured['pick'] or ''}".strip(): measured for measured in found} or {name: {}}
        for model, values in (theirs | mine).items():
            cells = {"what": f"{row['row']} {row['column']}".strip(), "model": model}
            for metric in metrics:
                cells |= _cells(metric, values)
            n = values.get("n")
            rows.append(cells | ({"n": f"{n:,}" if n else ""} if show_n else {}))
    return rows


def _cells(metric: str, values: dict[str, Any]) -> dict[str, str]:
    heading, value, bounds = HEADINGS[metric], values.get(metric), values.get(f"{metric}_ci95")
    text = "-" if value is None else f"{value:3.0f}" if metric == "epochs" else f"{100 * value:5.2f}"
    interval = {f"{heading} 95%": _interval(bounds) if bounds else ""} if metric in WITH_INTERVALS else {}
    return {heading: text} | interval


def _interval(bounds: tuple[float, float]) -> str:
    """One decimal says enough of an interval two points wide, two of one close to 0."""
    digits = 1 if bounds[0] >= 0.1 else 2
    return "-".join(f"{100 * bound:.{digits}f}" for bound in bounds)


def _remarks(document: dict[str, Any]) -> None:
    if document["figure"]:
        out.hint(f"Figure: {document['figure']}")
    if document["claims"]:
        out.hint("\nWhat the paper claims, judged by ours (chance: of which images were tested, not of the seed):")
    for claim in document["claims"]:
        out.hint(f"- {claim['verdict']}: {claim['claim']}")
        for text in claim["evidence"]:
            out.hint(f"    {text}")
        if claim["missing"]:
            out.hint(f"    missing: {', '.join(claim['missing'])}")
    if "ra" in document["metrics"]:
        out.hint(PICKS)
    for note in document["notes"]:
        out.hint(f"\nNote: {note}")
    for reason in document["unreadable"]:
        out.hint(f"\nLeft out: {reason}")


def _missing(steps: list[dict[str, Any]]) -> None:
    commands = {step["command"]: step["seconds"] for step in steps if step["command"]}
    if commands:
        out.hint("\nMissing; --run makes it, or one by one (times are those on a free machine):")
    for command, seconds in commands.items():
        out.hint(f"    {command}" + (f"    # about {duration(seconds)}" if seconds else ""))
    without = [step["name"] for step in steps if not step["command"]]
    if without:
        out.hint(f"\nMissing, and no recipe makes it: {', '.join(without)}")


# --- --run ------------------------------------------------------------------------------------------------------------


def _make(table: Table, tag: str, folder: Path, profile: Profile) -> None:
    """Take the steps that are missing, and those that come of them; each goes on where it was stopped."""
    from advss_zoo.report import tables
    from advss_zoo.report.ours import Ours

    device = pick_device("auto")
    done: set[Step] = set()

    def left() -> list[Step]:
        missing = tables.missing(table, tag, Ours(folder), profile=profile)
        return [step for step in missing if step.command and step not in done]

    while steps := left():
        for step in steps:
            if step.action == "train":
                _train(step, folder, device, profile)
            else:
                _evaluate(step, folder, device)
        done.update(steps)


def _train(step: Step, folder: Path, device: str, profile: Profile) -> None:
    from advss_zoo.report import plan
    from advss_zoo.training.assembly import assemble
    from advss_zoo.training.recipe import EnsembleRecipe
    from advss_zoo.training.trainer import train

    recipe = plan.load_recipe(step.name, profile)
    if isinstance(recipe, EnsembleRecipe):
        assemble(recipe, folder / step.name, [plan.weights(member, folder) for member in recipe.members])
        return
    with out.progress(step.name, "steps") as progress:
        train(recipe, folder / step.name, resume=True, device=device, progress=progress)


def _evaluate(step: Step, folder: Path, device: str) -> None:
    from advss_zoo.data.load import load_data
    from advss_zoo.evaluation import protocols
    from advss_zoo.report import plan
    from advss_zoo.report.ours import DATA
    from advss_zoo.workflows.measure import measure
    from advss_zoo.zoo.open import open_model

    model = open_model(plan.weights(step.name, folder, step.pick), device)
    place, images = plan.place(step.name, folder, step.pick), load_data(DATA[0], "test")
    assert step.protocol is not None
    with out.steps() as steps:
        for protocol in map(protocols.parse, protocols.expand(step.protocol)):
            folder = place / protocol.slug()
            measure(model, images, protocol, folder, device=device, progress=steps, say=steps.say)
