"""What came of fine-tuning: a card in the checkpoint's folder, written from what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data.folder.summary import Summary
from advss_zoo.evaluation.eps import format_eps
from advss_zoo.evaluation.results import VERDICTS_FILE, Result
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import explained, write_atomically
from advss_zoo.training import log
from advss_zoo.training.finetune import Plan
from advss_zoo.zoo import WEIGHTS, cards, checkpoint

TEMPLATE = "finetuned.md.j2"
MOST_CLASSES = 15  # of which a card shows the whole confusion matrix
SHOWN = 15  # confusions that it lists of more


@dataclass(frozen=True)
class Confusion:
    """Which class was taken for which: `counts[true, predicted]`, ints (K, K)."""

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, classes: Sequence[str], labels: NDArray[Any], predictions: NDArray[Any]) -> Confusion:
        size = len(classes)
        counts = np.bincount(labels.astype(np.int64) * size + predictions, minlength=size * size)
        return cls(tuple(classes), counts.reshape(size, size))

    def most(self, count: int) -> list[tuple[str, str, int]]:
        """The most frequent confusions: a class, what it was taken for, and how often."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [
            (self.classes[true], self.classes[taken], int(wrong[true, taken]))
            for true, taken in pairs
            if wrong[true, taken]
        ]


def finish(plan: Plan, summary: Summary, folder: Path, runs: Sequence[Path], place: Path, result: Result) -> Path:
    """Put card and curves into the folder of a checkpoint; returns the card.

    Args:
        folder: the checkpoint, whose result lies in `place`.
        runs: the folder of the run that each recipe of the plan was trained in.
    """
    for recipe, run in zip(plan.recipes, runs, strict=True):
        target = folder if len(runs) == 1 else folder / "members" / recipe.full_name
        with explained("write", target):
            shutil.copyfile(run / "curves.png", target / "curves.png")
    card = folder / "README.md"
    text = cards.render(_values(plan, summary, folder, runs, place, result), TEMPLATE)
    write_atomically(card, lambda file: file.write(text.encode(errors="replace")))
    return card


def _values(
    plan: Plan, summary: Summary, folder: Path, runs: Sequence[Path], place: Path, result: Result
) -> dict[str, Any]:
    recipe, wishes = plan.recipes[0], plan.wishes
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
        "members": [{"name": each.full_name, "parent": each.parent} for each in plan.recipes] if ensemble else [],
        "folder": str(folder),
        "classes": classes,
        "mode": wishes.mode.upper(),
        "whole": wishes.mode in ("f3", "f4"),
        "adversarial": wishes.adversarial,
        "norm": wishes.norm,
        "eps": format_eps(wishes.eps),
        "side": wishes.side,
        "recipe": recipe,
        "weights": [str(run / each.ship / WEIGHTS) for each, run in zip(plan.recipes, runs, strict=True)],
        "training": _training(plan, runs),
        "data": summary,
        "results": [result.to_json()],
        "matrix": len(classes) <= MOST_CLASSES,
        "by_class": _by_class(classes, verdicts),
        "confusions": {what: Confusion.of(classes, verdicts.label, found) for what, found in predictions.items()},
        "shown": SHOWN,
        "rare": [label for label, counts in summary.classes.items() if counts["test"] < 30],
    }


def _by_class(classes: Sequence[str], verdicts: Verdicts) -> list[dict[str, Any]]:
    """How many images there are of each class, and TA and RA on those; None where there are none."""
    rows = []
    for number, label in enumerate(classes):
        own = verdicts.label == number
        right = own & verdicts.right
        still = right & (verdicts.attacked_prediction == verdicts.label)
        images = int(own.sum())
        shares = {key: int(hits.sum()) / images if images else None for key, hits in (("ta", right), ("ra", still))}
        rows.append({"label": label, "images": images, **shares})
    return rows


def _training(plan: Plan, runs: Sequence[Path]) -> dict[str, Any]:
    """What the logs say."""
    records = [log.read(run / "log.jsonl") for run in runs]
    config = checkpoint.read_config(runs[0] / plan.recipes[0].ship)
    assert config.provenance is not None
    measured = [record["validation"] for record in records[0] if "validation" in record]
    return {
        "data": config.provenance.data,
        "parent": config.provenance.parent if len(runs) == 1 else None,
        "minutes": round(sum(found[-1]["seconds"] for found in records) / 60, 1),
        "picked_after": config.provenance.epochs,
        "validations": len(measured),
    }
