"""What came of fine-tuning: a card in the checkpoint's folder and a page in the run's, made of what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advss_zoo.data.folder.summary import Summary
from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.confusion import Confusion
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import explained, write_bytes
from advss_zoo.results_page.collect import collect
from advss_zoo.results_page.page import Report
from advss_zoo.texts import format_eps
from advss_zoo.training import log
from advss_zoo.training.recipe import Recipe
from advss_zoo.workflows.finetune.planning import Plan
from advss_zoo.zoo import CARD, WEIGHTS, cards, checkpoint, index, load
from advss_zoo.zoo import runs as run_folders

TEMPLATE, PAGE = "finetuned.md.j2", "report.html"
MOST_CLASSES = 15  # of which a card shows the whole confusion matrix
SHOWN = 15  # confusions that it lists of more


def finish(plan: Plan, summary: Summary, folder: Path, runs: Sequence[Path], place: Path, result: Result) -> Path:
    """Put card and curves into the folder of a checkpoint, and return the path of the card.

    Args:
        folder: the checkpoint, whose result lies in `place`.
        runs: the folder of the run that each recipe of the plan was trained in.
    """
    for recipe, run in zip(plan.recipes, runs, strict=True):
        target = folder if len(runs) == 1 else folder / "members" / recipe.full_name
        with explained("write", target):
            shutil.copyfile(run / run_folders.CURVES, target / run_folders.CURVES)
    card = folder / CARD
    text = cards.render(_values(plan, summary, folder, runs, place, result), TEMPLATE)
    write_bytes(card, text.encode(errors="replace"))
    return card


def report(run: Path, images: ImageSet) -> Path:
    """Write the page of everything below the folder of a run, and return its path.

    Args:
        images: the test images, of which the gallery shows some.
    """
    page = run / PAGE
    Report(collect([run], [images])).write(page)
    return page


def called(folder: Path) -> str:
    """Return what commands call a checkpoint in a run: the run's name where that will do, else a path with a /."""
    run = folder.parent
    if run_folders.find(run.name) == run and not index.knows(run.name):
        return run.name
    return str(run) if run.is_absolute() else f"./{run}"


def stopped(recipe: Recipe, run: Path) -> float | None:
    """Return the epochs after which training stopped early, or None if it went on to the end."""
    made = checkpoint.read_config(run / run_folders.LAST).provenance
    assert made is not None
    return made.epochs if made.epochs < recipe.length else None


def _values(
    plan: Plan, summary: Summary, folder: Path, runs: Sequence[Path], place: Path, result: Result
) -> dict[str, Any]:
    recipe, options = plan.recipes[0], plan.options
    ensemble = plan.ensemble(runs) if len(runs) > 1 else None
    verdicts = Verdicts.read(place / VERDICTS_FILE)
    classes = tuple(summary.classes)
    assert verdicts.attacked_prediction is not None
    predictions = {"clean": verdicts.clean_prediction, "attacked": verdicts.attacked_prediction}
    made = ensemble or recipe
    return {
        "name": made.name,
        "tag": made.tag,
        "kind": "ensemble" if ensemble else "classifier",
        "task": None if ensemble else recipe.task,
        "scenario": recipe.scenario,
        "licence": "other",
        "members": [_member(*each) for each in zip(plan.recipes, runs, strict=True)] if ensemble else [],
        "called": called(folder),
        "temperature": load.read_config(folder).temperature,
        "classes": classes,
        "mode": options.mode.upper(),
        "whole": options.mode in ("f3", "f4"),
        "adversarial": options.adversarial,
        "norm": options.norm,
        "eps": format_eps(options.eps),
        "side": options.image_size,
        "recipe": recipe,
        "weights": [str(run / each.deployed / WEIGHTS) for each, run in zip(plan.recipes, runs, strict=True)],
        "training": _training(plan, runs),
        "data": summary,
        "results": [result.to_dict()],
        "matrix": len(classes) <= MOST_CLASSES,
        "by_class": by_class(classes, verdicts),
        "confusions": {what: Confusion.of(classes, verdicts.label, found) for what, found in predictions.items()},
        "shown": SHOWN,
        "rare": [label for label, counts in summary.classes.items() if counts["test"] < 30],
    }


def by_class(classes: Sequence[str], verdicts: Verdicts) -> list[dict[str, Any]]:
    """Count the images of each class, and measure TA and RA on them; None where there are none."""
    everything = np.ones(len(verdicts), bool)
    chosen = (np.flatnonzero(rows) for rows in (everything, verdicts.right, verdicts.standing))
    counts = [np.bincount(verdicts.label[rows], minlength=len(classes)).tolist() for rows in chosen]
    return [
        {"label": label, "images": images, "ta": ta / images if images else None, "ra": ra / images if images else None}
        for label, images, ta, ra in zip(classes, *counts, strict=True)
    ]


def _member(recipe: Recipe, run: Path) -> dict[str, Any]:
    """A member of an ensemble, and what it started from."""
    made = checkpoint.read_config(run / recipe.deployed).provenance
    assert made is not None
    return {"name": recipe.full_name, "parent": recipe.parent, "parent_sha256": made.parent_sha256}


def _training(plan: Plan, runs: Sequence[Path]) -> dict[str, Any]:
    """What the logs say."""
    records = [log.read(run / run_folders.LOG) for run in runs]
    config = checkpoint.read_config(runs[0] / plan.recipes[0].deployed)
    assert config.provenance is not None
    measured = [record["validation"] for record in records[0] if "validation" in record]
    return {
        "data": config.provenance.data,
        "parent": config.provenance.parent if len(runs) == 1 else None,
        "parent_sha256": config.provenance.parent_sha256 if len(runs) == 1 else None,
        "teacher": config.provenance.teacher,
        "minutes": round(sum(found[-1]["seconds"] for found in records) / 60, 1),
        "picked_after": config.provenance.epochs,
        "validations": len(measured),
        "stopped": stopped(plan.recipes[0], runs[0]) if len(runs) == 1 else None,
    }
