"""Recipes for fine-tuning on a folder of images: what training goes by where nobody has said more.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict

from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.prepared import Prepared
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.passes import MULTIPLE
from advss_zoo.files import read_json, write_json
from advss_zoo.models.architecture import LibraryArchitecture
from advss_zoo.training import cost, parents, recipe, teacher
from advss_zoo.training.budget import Budget
from advss_zoo.training.recipe import EnsembleRecipe, Recipe
from advss_zoo.zoo import checkpoint, index, sources
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.libraries import RANDOM
from advss_zoo.zoo.load import folders_of
from advss_zoo.zoo.names import LONGEST_NAME
from advss_zoo.zoo.reference import parse_reference
from advss_zoo.zoo.runs import PLAN, RUNS

Mode = Literal["f1", "f2", "f3", "f4"]
Norm = Literal["linf", "l2"]
TrainingLoss = Literal["classification", "trades", "rslad"]

SCRATCH = "scratch"  # what people call a start that has no weights

STEPS = (10, 7, 5, 3, 2, 1)  # of PGD in training, strongest first; 1 is N-FGSM
USUAL_STEPS = 2
IMBALANCED = 1.5  # largest class to smallest, from which on losses are weighted
FEW = 2_000  # training images, below which augmentation is stronger
CUTOUT = 0.25
MOST_WEIGHT = 10.0  # of a class: more, and a few images throw the weights about
VALIDATION_IMAGES = 500  # validation images, at most
VALIDATIONS = 8  # validations in a run
PATIENCE = 4  # of them without a better RA (F1, F3: TA) end it
TEST_IMAGES = 1_000  # test images that the result is measured on, at most
SPARE = 0.9  # of a budget is for what is measured beforehand: loading, writing and drawing take time, too
ROOM = 0.9  # of the time for training is planned for: if the machine is a little slower, nothing has to be shortened
PROTOCOL = "pgd20"  # that the result is measured with
TRIED = 3  # passes more, with which an evaluation tries what it was given
AMPLE = 1.25  # times what the evaluation takes is kept for it, for after training nothing can be shortened any more
EXAMPLES = 32  # test images whose adversarial versions are kept for the page
TEST_SHARE = 0.25  # of a budget at most
FEWEST_TEST_IMAGES = 100
RAMP = 0.5  # of training from ordinary weights, over which eps grows from 0 (arXiv 2509.23325)
LONGEST_FOLDER = 40  # characters of a folder's name in that of a checkpoint
# As many positions times channels go through the first stage of a network at once as for 128 images of CIFAR-10
# through that of the paper's, at most, for about the same memory; batches of larger images are cut into shares.
MOST_VALUES = 128 * 32**2 * 4 * 64
OPTIONS = {
    "data": "--data",
    "image_size": "--image-size",
    "parts": "--parts",
    "group_by": "--group-by",
    "truncated": "--truncated",
    "parent": "--from",
    "trains": "--mode",
    "teacher": "--teacher",
}
"""Keys of a recipe that decide what is measured and described, too."""


class FinetuneOptions(BaseModel):
    """What a person asks of fine-tuning; None is left to the plan.

    `eps` is in units of pixel values in [0,1], `budget` in seconds from reading the images to the page about the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    start: str
    mode: Mode = "f4"
    image_size: int
    parts: dict[str, Part] = {}
    group_by: str | None = None
    truncated: bool = False
    norm: Norm = "linf"
    eps: float
    objective: TrainingLoss = "classification"
    teacher: str | None = None
    epochs: int | None = None
    budget: float | None = None
    overrides: tuple[str, ...] = ()

    @property
    def folder_options(self) -> FolderOptions:
        return FolderOptions(self.parts, self.group_by, self.truncated)

    @property
    def adversarial(self) -> bool:
        return self.mode in ("f2", "f4")

    def check(self, starts: Sequence[Start]) -> None:
        """Check that the options contradict neither each other nor what is fine-tuned.

        Raises:
            UsageError: they do.
        """
        if self.budget is not None and self.epochs is not None:
            raise UsageError("--budget and --epochs cannot be combined.", "Give one of them.")
        if self.objective == "trades" and not self.adversarial:
            raise UsageError(
                f"TRADES needs an adversary, but --mode {self.mode} is standard training.", "Choose --mode f2 or f4."
            )
        if self.objective == "rslad" and self.teacher is None:
            raise UsageError("--objective rslad needs a teacher.", "Add --teacher MODEL.")
        if self.mode in ("f1", "f2") and any(start.random for start in starts):
            raise UsageError(
                f"--mode {self.mode} trains the head only, but the trunk of {self.start} has random weights.",
                "Choose --mode f3 or f4.",
            )


@dataclass(frozen=True)
class Start:
    """A checkpoint whose trunk is fine-tuned: its name in the zoo or its folder, None from scratch, and what it is."""

    reference: str | None
    config: Config

    @property
    def ordinary(self) -> bool:
        """Tell whether the weights were not trained here, in a net of another library: they withstand no attack."""
        return self.config.provenance is None and isinstance(self.config.architecture, LibraryArchitecture)

    @property
    def random(self) -> bool:
        """Tell whether nobody has trained it: features may then be the same for all images."""
        return self.reference is None or self.config.scenario == RANDOM


@dataclass(frozen=True)
class Plan:
    """One recipe for each trunk, on how many test images the result is measured, and what time each recipe has."""

    options: FinetuneOptions
    data_key: str
    recipes: tuple[Recipe, ...]
    test_images: int
    budget: Budget | None = None

    def ensemble(self, members: Sequence[Path]) -> EnsembleRecipe:
        """Describe the ensemble of the given checkpoint folders, one a recipe."""
        return EnsembleRecipe(
            name=_ensemble_name(self.options),
            tag=self.recipes[0].tag,
            scenario=self.recipes[0].scenario,
            members=[str(member) for member in members],
        )

    def write(self, folder: Path) -> None:
        values = {
            "options": self.options.model_dump(mode="json"),
            "data_key": self.data_key,
            "recipes": [recipe.model_dump(mode="json") for recipe in self.recipes],
            "test_images": self.test_images,
            "budget": self.budget and asdict(self.budget),
        }
        write_json(folder / PLAN, values)


def full_name(options: FinetuneOptions, starts: Sequence[Start]) -> str:
    """Return NAME.TAG of the result."""
    name = _ensemble_name(options) if len(starts) > 1 else _name(options, starts[0].config)
    return f"{name}.{starts[0].config.tag}"


def starts(name: str, beside: Path) -> list[Start]:
    """Return the trunks of a checkpoint: one, or that of each member of an ensemble.

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
    of_libraries = {sources.fetch(part).path: part for part in parse_reference(name).parts if part.is_of_library}
    starts = []
    for folder in members:
        part = of_libraries.get(folder)
        called = part.text if part else _reference(folder, beside if alone else folder)
        starts.append(Start(called, checkpoint.read_config(folder)))
    names = [start.config.full_name for start in starts]
    if len(set(names)) < len(names):
        raise UsageError(f"Members of an ensemble need different names, got {', '.join(names)}.")
    return starts


def _from_scratch() -> Start:
    """The paper's P1."""
    config = checkpoint.read_config(sources.fetch(index.default_trunk()).path)
    return Start(None, config.model_copy(update={"name": "p1", "scenario": "p1", "task": None}))


def image_size(starts: Sequence[Start]) -> int:
    """Return the size of images that all of them were made for.

    Raises:
        UsageError: there are several.
    """
    sizes = {start.config.image_size for start in starts}
    if len(sizes) > 1:
        raise UsageError(
            f"The members have different image sizes: {sorted(sizes)} pixels.", "Choose one: --image-size N."
        )
    return sizes.pop()


def plan(
    options: FinetuneOptions,
    starts: Sequence[Start],
    prepared: Prepared,
    *,
    spent: float,
    device: str,
    beside: Path = RUNS,
) -> Plan:
    """Plan what is trained, and by which recipes.

    Args:
        spent: seconds of the budget that are gone.
        beside: the folder that the run will be in.

    Raises:
        UsageError: an override does not fit, or the teacher does not, or the budget is too small for one epoch.
        CheckpointError: the teacher's weights cannot be had.
    """
    if options.teacher not in (None, recipe.OWN_AVERAGE):
        teacher.open_fitting(options.teacher, prepared.classes, options.image_size, beside)
    tested = min(prepared.summary.parts["test"], TEST_IMAGES)
    if options.budget is None:
        epochs = options.epochs or usual_epochs(prepared.summary.parts["train"])
        recipes = [_recipe(options, start, prepared, epochs, USUAL_STEPS) for start in starts]
        return Plan(options, prepared.key, tuple(recipes), tested)
    one, began = _recipe(options, starts[0], prepared, 1, 1), time.monotonic()
    found = cost.estimate(one, device=device, images=prepared.summary.parts["train"])
    a_pass = cost.evaluation_pass(one, device)
    slowdown = max(found.seconds_now / found.seconds, a_pass.now / a_pass.free)  # seconds may have been lucky ones
    an_image = AMPLE * (protocols.parse(PROTOCOL).passes + TRIED) * a_pass.free
    share = TEST_SHARE * options.budget / (len(starts) * an_image * slowdown)
    tested = min(tested, max(FEWEST_TEST_IMAGES, int(share) - EXAMPLES))
    spent += time.monotonic() - began
    budget = Budget((SPARE * options.budget - spent) / len(starts), an_image * _evaluated(tested))
    seconds = budget.seconds - slowdown * budget.after
    recipes = [_within(options, start, prepared, seconds, slowdown, device) for start in starts]
    return Plan(options, prepared.key, tuple(recipes), tested, budget)


def _evaluated(tested: int) -> int:
    """The images that go through the network for a result on `tested` images: passes are filled up, and the examples
    of more are attacked by themselves.
    """
    parts = (tested, EXAMPLES) if tested > EXAMPLES else (tested,)
    return sum(math.ceil(part / MULTIPLE) * MULTIPLE for part in parts)


def read_plan(folder: Path) -> Plan | None:
    """Return what `Plan.write` wrote, if there is any.

    Raises:
        AdvssError: it cannot be read.
    """
    path = folder / PLAN
    if not path.exists():
        return None
    values = read_json(path)
    try:
        options = FinetuneOptions.model_validate(values["options"])
        recipes = tuple(Recipe.model_validate(each) for each in values["recipes"])
        budget = values["budget"] and Budget(**values["budget"])
        return Plan(options, values["data_key"], recipes, values["test_images"], budget)
    except (KeyError, TypeError, ValueError) as error:
        raise AdvssError(f"{path} was written by another version of advss-zoo.", "Choose another --out.") from error


def check_same(kept: Plan, options: FinetuneOptions, prepared: Prepared) -> None:
    """Check that a run is resumed with the options that it was started with, on the same images.

    Raises:
        UsageError: it is not.
    """
    before, now = kept.options.model_dump(), options.model_dump()
    if changed := [key for key in now if before[key] != now[key]]:
        described = "; ".join(f"{key} was {before[key]}, now {now[key]}" for key in changed)
        raise UsageError(
            f"--resume needs the original options; these changed: {described}.",
            "Give the original ones, or choose another --out.",
        )
    if kept.data_key != prepared.key:
        raise UsageError(f"The images in {options.data} have changed since the run started.", "Choose another --out.")


def usual_epochs(images: int) -> int:
    """Return the default number of epochs: the fewer images, the more."""
    return min(120, max(6, round(3_000 / math.sqrt(images))))


def _within(
    options: FinetuneOptions, start: Start, prepared: Prepared, seconds: float, slowdown: float, device: str
) -> Recipe:
    """The strongest adversary that leaves time for the usual epochs; with more time than that, up to twice as many."""
    images = prepared.summary.parts["train"]
    usual = usual_epochs(images)
    for steps in STEPS if options.adversarial else STEPS[-1:]:

        def takes(epochs: int, steps: int = steps) -> float:
            made = _recipe(options, start, prepared, epochs, steps)
            return slowdown * cost.estimate(made, device=device, images=images).seconds

        epochs = bisect_right(range(1, 2 * usual + 1), ROOM * seconds, key=takes)
        if epochs >= usual or (steps == STEPS[-1] and epochs):
            return _recipe(options, start, prepared, epochs, steps)
    raise UsageError(
        f"The budget is too small: {max(0, seconds):.0f} s are left for training, and one epoch takes longer.",
        "Increase --budget, or use smaller images (--image-size).",
    )


def _recipe(options: FinetuneOptions, start: Start, prepared: Prepared, epochs: int, steps: int) -> Recipe:
    """How one trunk is fine-tuned."""
    for key in (re.split(r"=|(?<=^parts)\.", override)[0].strip() for override in options.overrides):
        if key in OPTIONS:
            raise UsageError(f"`{key}` is set by the option {OPTIONS[key]}.", f"Use {OPTIONS[key]} instead of {key}=.")
    config, images = start.config, prepared.summary.parts["train"]
    batch = _batch_size(images)
    total = epochs * math.ceil(images / batch)
    trunk_too = options.mode in ("f3", "f4")
    made = config.provenance
    values: dict[str, Any] = {
        "name": _name(options, config),
        "tag": config.tag,
        "task": config.task,
        "scenario": _tuned(config.scenario, config, options),
        "parent": start.reference,
        "profile": made.profile if made else "fast",
        "architecture": config.architecture.model_copy(update={"num_classes": len(prepared.classes)}).model_dump(),
        "data": options.data,
        "parts": options.parts,
        "group_by": options.group_by,
        "truncated": options.truncated,
        "image_size": options.image_size,
        "augmentation": {
            "crop_padding": min(64, max(1, options.image_size // 8)),
            "cutout": CUTOUT if images < FEW else 0.0,
        },
        "objective": _objective(options, prepared),
        "teacher": options.teacher and {"model": options.teacher},
        "adversary": _adversary(options, steps, ramp=start.ordinary),
        "trains": "all" if trunk_too else "head",
        "epochs": epochs,
        "batch_size": batch,
        "accumulation": math.ceil(batch * config.architecture.values_per_image(options.image_size) / MOST_VALUES),
        **_optimization(start, trunk_too),
        "averaging": {"decay": min(0.998, max(0.5, 1 - 10 / total)), "start": 0.3},
        "validation": {
            "every": math.ceil(epochs / VALIDATIONS),
            "images": min(VALIDATION_IMAGES, prepared.held_out),
            "attack": _attack(options, 5),
            "patience": PATIENCE,
        },
        "deployed": "best-ra" if options.adversarial else "best-ta",
    }
    return recipe.from_values(values, options.overrides)


def _batch_size(images: int) -> int:
    """Fewer at once of few images, so that an epoch has steps."""
    batch = 128 if images >= 10_000 else 64 if images >= 500 else max(2, min(32, images // 4))
    return batch + (images % batch == 1)  # batch norm on maps of one pixel cannot do with one image


def _objective(options: FinetuneOptions, prepared: Prepared) -> dict[str, Any]:
    smoothing = 0.1 if options.adversarial else 0.0
    return {"name": options.objective, "label_smoothing": smoothing, "class_weights": class_weights(prepared)}


def class_weights(prepared: Prepared) -> tuple[float, ...]:
    """Weight classes inversely to their images, 1 in the mean over images but for rare classes, whose weight is
    MOST_WEIGHT.

    Empty where classes are about as large.
    """
    counts = prepared.counts()
    if counts.max() <= IMBALANCED * counts.min():
        return ()
    weights = counts.sum() / (len(counts) * counts)
    return tuple(round(min(float(weight), MOST_WEIGHT), 4) for weight in weights)


def _optimization(start: Start, trunk_too: bool) -> dict[str, Any]:
    """SGD for nets with batch norm; AdamW, whose rates fall towards the image, for those without.

    From ordinary weights SGD begins with a fifth of the rate, which keeps more of them.
    """
    with torch.device("meta"):
        trunk = start.config.architecture.trunk()
    if any(getattr(module, "running_mean", None) is not None for module in trunk.modules()):
        gentle = start.ordinary and not start.random
        return {"schedule": [{"peak": (0.1 if trunk_too else 0.2) / (5 if gentle else 1), "warmup": 0.15}]}
    return {
        "optimizer": {"name": "adamw", "layer_decay": 0.75},
        "schedule": [{"peak": 5e-4 if trunk_too else 2e-3, "warmup": 0.15}],
    }


def _adversary(options: FinetuneOptions, steps: int, *, ramp: bool) -> list[dict[str, Any]]:
    """The radius grows over the first third, as in the recipes of the zoo.

    Args:
        ramp: it grows from 0 over the first half, without which training ordinary weights may stall at chance.
    """
    if not options.adversarial:
        return [{"name": "none"}]
    one_step = options.norm == "linf" and steps == 1
    attack = {"name": "n-fgsm", "eps": options.eps} if one_step else _attack(options, max(2, steps))
    if ramp:
        return [attack | {"until": RAMP, "eps_start": 0.0}, attack]
    first = {"name": "n-fgsm", "eps": options.eps} if options.norm == "linf" else attack
    return [first | {"until": 0.3, "eps_start": options.eps / 2}, attack]


def _attack(options: FinetuneOptions, steps: int) -> dict[str, Any]:
    """PGD whose steps add up to 1.25 times the radius, or more if each would be below a quarter of it."""
    size = options.eps * max(0.25, 1.25 / steps)
    return {"name": "pgd", "norm": options.norm, "eps": options.eps, "steps": steps, "step_size": size}


def _reference(folder: Path, beside: Path) -> str:
    """What a recipe of a run in `beside` calls a checkpoint: its name, or where it lies if that means another."""
    name = checkpoint.read_config(folder).full_name
    try:
        return name if parents.find(name, beside) == folder else str(folder)
    except AdvssError:
        return str(folder)


def _name(options: FinetuneOptions, config: Config) -> str:
    data, tuned = _data_name(options), _tuned(config.name, config, options).removeprefix(f"{_data_name(options)}-")
    return f"{data}-{tuned[len(data) + 1 - LONGEST_NAME :].strip('-')}"


def _ensemble_name(options: FinetuneOptions) -> str:
    return f"{_data_name(options)}-ensemble-{options.mode}"


def _tuned(text: str, config: Config, options: FinetuneOptions) -> str:
    """rotation-p3 becomes rotation-p3f4; what was fine-tuned before, p1f4, becomes p1f4-f4."""
    return text + ("" if config.kind == "trunk" else "-") + options.mode


def _data_name(options: FinetuneOptions) -> str:
    """The name of a folder as part of a checkpoint's."""
    plain = re.sub(r"[^a-z0-9]+", "-", Path(options.data).absolute().stem.lower())
    return plain[:LONGEST_FOLDER].strip("-") or "images"
