"""The paper's tables and figures with ours beside them; what is missing is made if asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from advss_zoo.data import load as data
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.progress import Progress, ignore
from advss_zoo.reproduction import paper, plan, tables
from advss_zoo.reproduction.ours import OurResults
from advss_zoo.reproduction.paper import Table
from advss_zoo.reproduction.plan import Step
from advss_zoo.reproduction.standing import Profile, load_recipe, tags
from advss_zoo.reproduction.tables import Comparison, ComparisonRow
from advss_zoo.results_page.charts import scatter
from advss_zoo.results_page.charts.scatter import Dot
from advss_zoo.results_page.charts.series import Look, Value
from advss_zoo.results_page.report_data import percent
from advss_zoo.results_page.scene import Scene
from advss_zoo.training import assembly, trainer
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.workflows.measure import measure
from advss_zoo.zoo import index
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.runs import RUNS


def reproduce(
    table: str,
    *,
    tag: str | None = None,
    runs: Path = RUNS,
    profile: Profile = "fast",
    make: bool = False,
    device: str = "cpu",
    progress: Progress = ignore,
) -> Comparison:
    """Compare our results with a table or figure of the paper.

    Ours are the results on the cards, and those that `advss eval` left in `runs`. Only those of checkpoints that the
    recipes as they stand have made are judged.

    Args:
        table: table3 to table8, fig1, fig3, fig4 or fig5.
        tag: the size of our nets; None: that of the zoo's default checkpoint.
        runs: the folder of runs and results.
        profile: of the recipes that ours are compared with, and by which what is missing is trained.
        make: train and evaluate what is missing first; stopped and called again, it goes on where it was.
        device: what it is made on.
        progress: called as what is missing is made.

    Raises:
        UsageError: there is no such table, or no recipe with that tag.
        AdvssError: training or evaluating failed.
    """
    wanted, known = paper.load(table), tags()
    tag = tag or index.find(index.default_name()).tag
    if tag not in known:
        raise UsageError(f"No recipe has the tag {tag!r}.", f"Choose from {', '.join(known)}.")
    if make:
        _make(wanted, tag, partial(OurResults, runs, profile), device, progress)
    return tables.compare(wanted, tag, OurResults(runs, profile))


def figure1(comparison: Comparison) -> Scene:
    """Draw Figure 1: accuracy against robustness, the paper's models hollow and ours filled."""
    theirs = [
        Dot(row.row, Value(100 * row.paper["ta"]), Value(100 * row.paper["ra"]), row.paper["epochs"])
        for row in comparison.rows
    ]
    ours = [_our_dot(row, Look(place)) for place, row in enumerate(comparison.rows) if row.ours]
    return scatter.draw([*theirs, *ours], "TA: accuracy on clean images (%)", "RA: accuracy under PGD-20 (%)")


def _our_dot(row: ComparisonRow, look: Look) -> Dot:
    assert row.ours is not None
    ta, ra = (percent(row.ours.values[metric] or 0.0, row.ours.ci95[metric]) for metric in ("ta", "ra"))
    return Dot(f"{row.row}, ours", ta, ra, row.ours.values["epochs"], look)


def _make(table: Table, tag: str, ours: Callable[[], OurResults], device: str, progress: Progress) -> None:
    """Take the steps that are missing, and those that come of them."""
    done: set[Step] = set()

    def left() -> Iterable[Step]:
        return [step for step in tables.missing(table, tag, ours()) if step.command and step not in done]

    while steps := left():
        for step in steps:
            made = _train if step.action == "train" else _evaluate
            made(step, ours(), device, progress)
        done.update(steps)


def _train(step: Step, ours: OurResults, device: str, progress: Progress) -> None:
    recipe, folder = load_recipe(step.name, ours.standing.profile), ours.runs / step.name
    if isinstance(recipe, EnsembleRecipe):
        assembly.assemble(recipe, folder, [plan.weights(member, ours) for member in recipe.members])
        return
    trainer.train(recipe, folder, resume=True, device=device, progress=partial(progress, step.name, "steps"))


def _evaluate(step: Step, ours: OurResults, device: str, progress: Progress) -> None:
    assert step.protocol is not None
    model = open_model(plan.weights(step.name, ours, step.pick), device)
    place = plan.place(step.name, ours, step.protocol, step.pick)
    images = data.load_data(plan.data_of(step.protocol), "test")

    def told(label: str, unit: str, done: int, total: int, note: str) -> None:
        progress(f"{step.name}: {label}", unit, done, total, note)

    for protocol in map(protocols.parse, protocols.expand(step.protocol)):
        folder = place / protocol.slug()
        measure(model, images, protocol, folder, device=device, progress=told, command=step.command)
