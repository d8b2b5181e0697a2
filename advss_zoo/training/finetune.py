"""Recipes for fine-tuning on a folder of images: what `advss finetune` trains by when nobody has said more.

The numbers are those of the .mini recipes, scaled to the images there are; docs/finetuning.md says what of it was
measured, and how. Cutout for few images, and when training stops early, follow the literature (DeVries and Taylor 2017;
Rice et al. 2020) and have not been measured here.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from advss_zoo.data.folder.prepared import Prepared
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import read_json, write_json
from advss_zoo.models.architecture import Architecture
from advss_zoo.training import cost, parents, recipe, teacher
from advss_zoo.training.recipe import EnsembleRecipe, Recipe
from advss_zoo.zoo import checkpoint, index, sources
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.load import folders_of
from advss_zoo.zoo.names import LONGEST_NAME
from advss_zoo.zoo.runs import PLAN, RUNS

Mode = Literal["f1", "f2", "f3", "f4"]
Norm = Literal["linf", "l2"]

SCRATCH = "scratch"  # what people call a start that has no weights

STEPS = (10, 7, 5, 3, 2, 1)  # of PGD in training, strongest first; 1 is N-FGSM
USUAL_STEPS = 2
IMBALANCED = 1.5  # largest class to smallest, from which on losses are weighted
FEW = 2_000  # training images, below which augmentation is stronger
CUTOUT = 0.25
MOST_WEIGHT = 10.0  # of a class: more, and a few images throw the weights about
WATCHED = 500  # validation images, at most
WATCHES = 8  # validations in a run
PATIENCE = 4  # of them without a better RA (F1, F3: TA) end it
JUDGED = 1_000  # test images that the result is measured on, at most
SPARE = 0.95  # of a budget is planned for: what is not forward and backward passes takes time, too
JUDGING_PASSES = 14  # PGD-20 and two predictions, whose passes give no gradients of weights
JUDGING = 0.25  # of a budget at most
FEWEST_JUDGED = 100
LONGEST_FOLDER = 40  # characters of a folder's name in that of a checkpoint
# As many positions times channels go through the first stage of a network at once as for 128 images of CIFAR-10
# through that of the paper's, at most, for about the same memory; batches of larger images are cut into shares.
MOST_VALUES = 128 * 32**2 * 4 * 64
OPTIONS = {
    "data": "--data",
    "image_size": "--image-size",
    "parent": "--from",
    "trains": "--mode",
    "teacher": "--teacher",
}
"""Keys of a recipe by which the result is judged and described, too."""


class Wishes(BaseModel):
    """What a person asks of fine-tuning; None is left to `recipe_for`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    start: str
    mode: Mode = "f4"
    side: int
    norm: Norm = "linf"
    eps: float
    objective: Literal["classification", "trades", "rslad"] = "classification"
    teacher: str | None = None
    epochs: int | None = None
    budget: float | None = None  # seconds at the machine's present load, some of them gone into reading the images
    overrides: tuple[str, ...] = ()

    @property
    def adversarial(self) -> bool:
        return self.mode in ("f2", "f4")


@dataclass(frozen=True)
class Start:
    """A checkpoint whose trunk is fine-tuned: its name in the zoo or its folder, None from scratch, and what it is."""

    reference: str | None
    config: Config


@dataclass(frozen=True)
class Plan:
    """One recipe for each trunk, and on how many of the test images the result is measured."""

    wishes: Wishes
    data_key: str
    recipes: tuple[Recipe, ...]
    judged: int

    def ensemble(self, members: Sequence[Path]) -> EnsembleRecipe:
        """Of the given checkpoint folders, one a recipe."""
        return EnsembleRecipe(
            name=_ensemble_name(self.wishes),
            tag=self.recipes[0].tag,
            scenario=self.recipes[0].scenario,
            members=[str(member) for member in members],
        )

    def write(self, folder: Path) -> None:
        recipes = [recipe.model_dump(mode="json") for recipe in self.recipes]
        facts = {"wishes": self.wishes.model_dump(mode="json"), "data_key": self.data_key, "judged": self.judged}
        write_json(folder / PLAN, {**facts, "recipes": recipes})


def full_name(wishes: Wishes, starts: Sequence[Start]) -> str:
    """NAME.TAG of what comes out."""
    name = _ensemble_name(wishes) if len(starts) > 1 else _name(wishes, starts[0].config)
    return f"{name}.{starts[0].config.tag}"


def starts(name: str, beside: Path) -> list[Start]:
    """The trunks of a checkpoint: one, or that of each member of an ensemble.

    Args:
        name: what people call it (see `zoo.reference`), or several of those joined by +; SCRATCH is the net of the
            zoo's default trunk with random weights.
        beside: the folder that the run will be in.

    Raises:
        UsageError: there is no such checkpoint, or two members have one name.
        CheckpointError: its weights cannot be had.
    """
    if name == SCRATCH:
        return [_from_scratch()]
    members = folders_of(name)
    alone = len(members) == 1  # the runs of an ensemble's members lie below that of the ensemble, beside no others
    starts = [
        Start(_reference(folder, beside if alone else folder), checkpoint.read_config(folder)) for folder in members
    ]
    names = [start.config.full_name for start in starts]
    if len(set(names)) < len(names):
        raise UsageError(f"An ensemble needs members of different names; found {', '.join(names)}.")
    return starts


def _from_scratch() -> Start:
    """The paper's P1."""
    config = checkpoint.read_config(sources.fetch(index.default_trunk()).path)
    return Start(None, config.model_copy(update={"name": "p1", "scenario": "p1", "task": None}))


def image_size(starts: Sequence[Start]) -> int:
    """The size of images that all of them were made for.

    Raises:
        UsageError: there are several.
    """
    sizes = {start.config.image_size for start in starts}
    if len(sizes) > 1:
        raise UsageError(f"The members were made for images of {sorted(sizes)} pixels.", "Say one: --image-size N.")
    return sizes.pop()


def plan(
    wishes: Wishes, starts: Sequence[Start], prepared: Prepared, *, spent: float, device: str, beside: Path = RUNS
) -> Plan:
    """What will be trained, and by which recipes.

    Args:
        spent: seconds of the budget that are gone.
        beside: the folder that the run will be in.

    Raises:
        UsageError: an override does not fit, or the teacher does not, or the budget is too small for one epoch.
        CheckpointError: the teacher's weights cannot be had.
    """
    if wishes.teacher not in (None, recipe.OWN_AVERAGE):
        teacher.open_fitting(wishes.teacher, prepared.classes, wishes.side, beside)
    judged = min(prepared.summary.parts["test"], JUDGED)
    if wishes.budget is None:
        epochs = wishes.epochs or usual_epochs(prepared.summary.parts["train"])
        recipes = [_recipe(wishes, start, prepared, epochs, USUAL_STEPS) for start in starts]
        return Plan(wishes, prepared.key, tuple(recipes), judged)
    one, began = _recipe(wishes, starts[0], prepared, 1, 1), time.monotonic()
    judging = JUDGING_PASSES * cost.evaluation_pass(one, device).now * len(starts)
    judged = min(judged, max(FEWEST_JUDGED, int(JUDGING * wishes.budget / judging)))
    cost.estimate(one, device=device, images=prepared.summary.parts["train"])  # whose timed passes take time, too
    spent += time.monotonic() - began
    seconds = (SPARE * wishes.budget - spent - judged * judging) / len(starts)
    recipes = [_within(wishes, start, prepared, seconds, device) for start in starts]
    return Plan(wishes, prepared.key, tuple(recipes), judged)


def read_plan(folder: Path) -> Plan | None:
    """What `Plan.write` wrote, if there is any.

    Raises:
        AdvssError: it cannot be read.
    """
    path = folder / PLAN
    if not path.exists():
        return None
    values = read_json(path)
    try:
        wishes = Wishes.model_validate(values["wishes"])
        recipes = tuple(Recipe.model_validate(each) for each in values["recipes"])
        return Plan(wishes, values["data_key"], recipes, values["judged"])
    except (KeyError, TypeError, ValueError) as error:
        raise AdvssError(f"{path} is no plan of this version.", "Choose another --out.") from error


def check_same(kept: Plan, wishes: Wishes, prepared: Prepared) -> None:
    """Is what is asked for what a run was begun with?

    Raises:
        UsageError: it is not.
    """
    before, now = kept.wishes.model_dump(), wishes.model_dump()
    if other := [key for key in now if before[key] != now[key]]:
        described = "; ".join(f"{key} was {before[key]}, now {now[key]}" for key in other)
        raise UsageError(f"The run was begun otherwise: {described}.", "Choose another --out, or say the same.")
    if kept.data_key != prepared.key:
        raise UsageError(f"The images in {wishes.data} have changed since the run was begun.", "Choose another --out.")


def usual_epochs(images: int) -> int:
    """How often so many images are gone through where nothing is said: the fewer, the more often."""
    return min(120, max(6, round(3_000 / math.sqrt(images))))


def _within(wishes: Wishes, start: Start, prepared: Prepared, seconds: float, device: str) -> Recipe:
    """The strongest adversary that leaves time for the usual epochs; with more time than that, up to twice as many."""
    images = prepared.summary.parts["train"]
    usual = usual_epochs(images)
    for steps in STEPS if wishes.adversarial else STEPS[-1:]:

        def takes(epochs: int, steps: int = steps) -> float:
            made = _recipe(wishes, start, prepared, epochs, steps)
            return cost.estimate(made, device=device, images=images).seconds_now

        epochs = bisect_right(range(1, 2 * usual + 1), seconds, key=takes)
        if epochs >= usual or (steps == STEPS[-1] and epochs):
            return _recipe(wishes, start, prepared, epochs, steps)
    raise UsageError(
        f"The budget is too small: {max(0, seconds):.0f} s are left to train in, and an epoch takes longer.",
        "Give more, or smaller images (--image-size).",
    )


def _recipe(wishes: Wishes, start: Start, prepared: Prepared, epochs: int, steps: int) -> Recipe:
    """How one trunk is fine-tuned."""
    for key in (override.partition("=")[0].strip() for override in wishes.overrides):
        if key in OPTIONS:
            raise UsageError(f"`{key}` has an option of its own here.", f"Write {OPTIONS[key]} in place of {key}=.")
    config, images = start.config, prepared.summary.parts["train"]
    batch = _batch_size(images)
    total = epochs * math.ceil(images / batch)
    trunk_too = wishes.mode in ("f3", "f4")
    made = config.provenance
    values: dict[str, Any] = {
        "name": _name(wishes, config),
        "tag": config.tag,
        "task": config.task,
        "scenario": _tuned(config.scenario, config, wishes),
        "parent": start.reference,
        "profile": made.profile if made else "fast",
        "architecture": config.architecture.model_copy(update={"num_classes": len(prepared.classes)}).model_dump(),
        "data": wishes.data,
        "image_size": wishes.side,
        "augmentation": {
            "crop_padding": min(64, max(1, wishes.side // 8)),
            "cutout": CUTOUT if images < FEW else 0.0,
        },
        "objective": _objective(wishes, prepared),
        "teacher": wishes.teacher and {"model": wishes.teacher},
        "adversary": _adversary(wishes, steps),
        "trains": "all" if trunk_too else "head",
        "epochs": epochs,
        "batch_size": batch,
        "accumulation": math.ceil(batch * _values_per_image(config.architecture, wishes.side) / MOST_VALUES),
        "schedule": [{"peak": 0.1 if trunk_too else 0.2, "warmup": 0.15}],
        "averaging": {"decay": min(0.998, max(0.5, 1 - 10 / total)), "start": 0.3},
        "validation": {
            "every": math.ceil(epochs / WATCHES),
            "images": min(WATCHED, prepared.held_out),
            "attack": _attack(wishes, 5),
            "patience": PATIENCE,
        },
        "deployed": "best-ra" if wishes.adversarial else "best-ta",
    }
    return recipe.from_values(values, wishes.overrides)


def _batch_size(images: int) -> int:
    """Fewer at once of few images, so that an epoch has steps."""
    return 128 if images >= 10_000 else 64 if images >= 500 else max(2, min(32, images // 4))


def _values_per_image(architecture: Architecture, side: int) -> int:
    """What a block of the first stage gives."""
    side = side // 4 if architecture.stem == "imagenet" else side
    return side**2 * architecture.width * (4 if architecture.depth == 50 else 1)


def _objective(wishes: Wishes, prepared: Prepared) -> dict[str, Any]:
    smoothing = 0.1 if wishes.adversarial else 0.0
    return {"name": wishes.objective, "label_smoothing": smoothing, "class_weights": class_weights(prepared)}


def class_weights(prepared: Prepared) -> tuple[float, ...]:
    """Inverse to the images of each class, 1 in the mean over images but for rare classes, whose weight is MOST_WEIGHT.

    Empty where classes are about as large.
    """
    counts = prepared.counts()
    if counts.max() <= IMBALANCED * counts.min():
        return ()
    weights = counts.sum() / (len(counts) * counts)
    return tuple(round(min(float(weight), MOST_WEIGHT), 4) for weight in weights)


def _adversary(wishes: Wishes, steps: int) -> list[dict[str, Any]]:
    """The radius grows over the first third, as in the recipes of the zoo."""
    if not wishes.adversarial:
        return [{"name": "none"}]
    one_step = wishes.norm == "linf" and steps == 1
    attack = {"name": "n-fgsm", "eps": wishes.eps} if one_step else _attack(wishes, max(2, steps))
    first = {"name": "n-fgsm", "eps": wishes.eps} if wishes.norm == "linf" else attack
    return [first | {"until": 0.3, "eps_start": wishes.eps / 2}, attack]


def _attack(wishes: Wishes, steps: int) -> dict[str, Any]:
    """PGD whose steps add up to 1.25 times the radius, or more if each would be below a quarter of it."""
    size = wishes.eps * max(0.25, 1.25 / steps)
    return {"name": "pgd", "norm": wishes.norm, "eps": wishes.eps, "steps": steps, "step_size": size}


def _reference(folder: Path, beside: Path) -> str:
    """What a recipe of a run in `beside` calls a checkpoint: its name, or where it lies if that means another."""
    name = checkpoint.read_config(folder).full_name
    try:
        return name if parents.find(name, beside) == folder else str(folder)
    except AdvssError:
        return str(folder)


def _name(wishes: Wishes, config: Config) -> str:
    data, tuned = _data_name(wishes), _tuned(config.name, config, wishes).removeprefix(f"{_data_name(wishes)}-")
    return f"{data}-{tuned[len(data) + 1 - LONGEST_NAME :].strip('-')}"


def _ensemble_name(wishes: Wishes) -> str:
    return f"{_data_name(wishes)}-ensemble-{wishes.mode}"


def _tuned(text: str, config: Config, wishes: Wishes) -> str:
    """rotation-p3 becomes rotation-p3f4; what was fine-tuned before, p1f4, becomes p1f4-f4."""
    return text + ("" if config.kind == "trunk" else "-") + wishes.mode


def _data_name(wishes: Wishes) -> str:
    """The name of a folder as part of a checkpoint's."""
    plain = re.sub(r"[^a-z0-9]+", "-", Path(wishes.data).absolute().stem.lower())
    return plain[:LONGEST_FOLDER].strip("-") or "images"
