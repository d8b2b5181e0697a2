"""The recipe: one YAML file that makes one checkpoint, checked as a whole before anything starts."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

import advss_zoo.adversaries
import advss_zoo.objectives
from advss_zoo import plain_yaml, resources
from advss_zoo.adversaries.base import Adversary
from advss_zoo.adversaries.pgd import Pgd
from advss_zoo.data import load as datasets
from advss_zoo.data.augmentation import Augmentation
from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.parts import Part
from advss_zoo.errors import UsageError, all_mistakes, nearest
from advss_zoo.files import read_bytes
from advss_zoo.models.families import AnyArchitecture
from advss_zoo.objectives.base import Objective
from advss_zoo.objectives.classification import Weighted
from advss_zoo.objectives.rslad import Rslad
from advss_zoo.objectives.selfie import Selfie
from advss_zoo.registry import any_of
from advss_zoo.training.schedules import AnyPhase, AnySchedule, Resolution, Shortened, cosine, phase_at
from advss_zoo.zoo import index
from advss_zoo.zoo.names import LONGEST_NAME, MAX_LENGTH, NAME, TAG
from advss_zoo.zoo.reference import names_in

if TYPE_CHECKING:
    AnyObjective: TypeAlias = Objective
    AnyAdversary: TypeAlias = Adversary
else:
    AnyObjective = any_of(advss_zoo.objectives, Objective)
    AnyAdversary = any_of(advss_zoo.adversaries, Adversary)

AnyRecipe = TypeVar("AnyRecipe", bound="_Named")

BASES = "bases"  # the folder beside a recipe that holds what several share
BASE = r"\w[\w.-]{0,99}"  # what a base is called, which is never a path
MOST_FILES = 50  # that one recipe is put together of

OWN_AVERAGE = "self"  # as a teacher
ADR = {"temperature_start": 2.0, "temperature": 1.0, "share_start": 0.7, "share": 0.95}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sgd(_Part):
    """Stochastic gradient descent; vectors (batch norm, biases) are not decayed unless asked for."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)
    decays: Literal["kernels", "all"] = Field("kernels", description="all: the paper's way")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs momentum above 0; otherwise add optimizer.nesterov=false")
        return self


class AdamW(_Part):
    """Adam with decoupled weight decay (arXiv 1711.05101), which vectors are spared.

    With `layer_decay` a layer's learning rate is that of the layer after it times this number, as in fine-tuning of
    vision transformers (arXiv 2106.08254); the head has the schedule's own.
    """

    name: Literal["adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.05, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)


def _with_optimizer(values: object) -> object:
    """An optimiser without a name is SGD."""
    return {"name": "sgd", **values} if isinstance(values, dict) else values


class Averaging(_Part):
    """An exponential moving average of weights and batch-norm statistics, from the fraction `start` of training on.

    It is what validation measures; `decay: 0` makes it the weights themselves (the paper's way).
    """

    decay: float = Field(0.0, ge=0, lt=1)
    start: float = Field(0.0, ge=0, lt=1)


class Validation(_Part):
    """How training is watched: the first `images` of the validation split, clean and attacked, every `every` epochs."""

    every: int = Field(1, ge=1)
    images: int = Field(5_000, ge=1)
    attack: Pgd = Pgd(steps=20)
    patience: int | None = Field(
        None, ge=1, description="after how many looks without a better accuracy of what ships training stops"
    )


class TeacherOptions(_Part):
    """Whose probabilities for clean images are the labels: those of a model, or of the run's own average.

    A recipe may name the model alone: `teacher: ensemble-p3f4.mini`. `self` is ADR (Wu et al. 2024, arXiv 2305.12118),
    with numbers of its own. From a `_start` on numbers move along half a cosine over the whole training.
    """

    model: str = Field(min_length=1, description="a classifier or ensemble by its reference, or self: the own average")
    temperature: float = Field(1.0, gt=0, description="by which its logits are divided")
    temperature_start: float | None = Field(None, gt=0)
    share: float = Field(1.0, gt=0, le=1, description="of its probabilities in the labels; the rest is the true class")
    share_start: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, values: object) -> object:
        values = {"model": values} if isinstance(values, str) else values
        return {**ADR, **values} if isinstance(values, dict) and values.get("model") == OWN_AVERAGE else values

    @model_validator(mode="after")
    def _labels_come_from_somewhere(self) -> TeacherOptions:
        if self.is_own and self.share == 1:
            raise ValueError("with the model's own average as teacher, `share` must be below 1")
        return self

    @property
    def is_own(self) -> bool:
        return self.model == OWN_AVERAGE

    def temperature_at(self, progress: float) -> float:
        return cosine(self.temperature_start or self.temperature, self.temperature, progress)

    def share_at(self, progress: float) -> float:
        return cosine(self.share_start or self.share, self.share, progress)


class _Named(_Part):
    """What every recipe has: the name of what it makes, and a form in which it is written down."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME, description="checkpoint name without its tag: p1f4")
    tag: str = Field(pattern=TAG, max_length=MAX_LENGTH - LONGEST_NAME - 1, description="size: r50, small, mini")

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"

    def to_yaml(self) -> str:
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    @property
    def sha256(self) -> str:
        """Of what differs from the defaults: comments, spelled-out defaults and new options do not change it."""
        canonical = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


class EnsembleRecipe(_Named):
    """An ensemble: the mean of its members' probabilities, and nothing that is trained but they."""

    scenario: str
    members: list[str] = Field(min_length=2, description="NAME.TAG of the classifiers")


class Recipe(_Named):
    """Everything that determines a checkpoint. Two runs of one recipe on one CPU give the same weights."""

    task: str | None = Field(None, description="pretext task of the trunk; none for P1")
    scenario: str = Field(description="how trunk and head are trained: p3, p3f4")
    parent: str | None = Field(None, description="whose trunk it starts from: NAME.TAG, or a checkpoint folder")
    profile: Literal["paper", "fast"] = "fast"
    architecture: AnyArchitecture
    data: str = Field("cifar10", description="a data set by name, or the path of a folder of images")
    parts: dict[str, Part] = Field({}, description="of a folder: which of its folders are train, val and test")
    group_by: str | None = Field(None, description="column or pattern: images of one group stay on one side")
    truncated: bool = Field(False, description="of a folder: use what there is of JPEGs that were cut off")
    image_size: int | None = Field(None, ge=16, le=4096, description="pixels a side; none: what the stem is made for")
    resolution: list[Resolution] = Field([], description="phases of smaller images, which grow; none: always full size")
    augmentation: Augmentation = Augmentation()
    objective: AnyObjective
    teacher: TeacherOptions | None = None
    adversary: list[AnyAdversary] = Field(min_length=1)
    clean_weight: float = Field(0.0, ge=0, lt=1, description="share of the loss on clean inputs in what is minimised")
    attack_mode: Literal["eval", "train"] = Field("eval", description="of batch norm and dropout during the attack")
    trains: Literal["all", "head"] = Field("all", description="head: the trunk is frozen (F1, F2)")
    head_first: float = Field(0.0, ge=0, lt=1, description="share of all steps before which the trunk is frozen")
    frozen_statistics: bool = Field(
        True, description="does a frozen trunk keep the batch-norm statistics it came with?"
    )
    normalize_by: Literal["batch", "running"] = Field("batch", description="running: batch norm never moves at all")
    epochs: int = Field(ge=1)
    shortened: list[Shortened] = Field([], description="how a run went through its schedule faster to keep to a budget")
    batch_size: int = Field(128, ge=2)
    accumulation: int = Field(1, ge=1, description="parts that a process goes through one after the other in a step")
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="name"), BeforeValidator(_with_optimizer)] = Sgd()
    schedule: list[AnySchedule] = Field(min_length=1)
    averaging: Averaging = Averaging()
    validation: Validation = Validation()
    deployed: Literal["average", "best-ta", "best-ra", "last"] = "best-ta"
    precision: Literal["fp32", "bf16"] = Field(
        "bf16", description="of the forward passes; bf16 where the device has it"
    )
    seed: int = Field(20, ge=0)

    @field_validator("adversary", "schedule", "resolution")
    @classmethod
    def _phases_in_order(cls, phases: list[AnyPhase]) -> list[AnyPhase]:
        ends = [phase.until for phase in phases]
        if ends and (ends != sorted(set(ends)) or ends[-1] != 1):
            raise ValueError(f"the phases must end at rising fractions, the last at 1; found {ends}")
        return phases

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Recipe:
        if mistakes := "; ".join(self._contradictions()):
            raise ValueError(mistakes)
        return self

    def _contradictions(self) -> Iterator[str]:
        objective, outputs = self.objective, self.architecture.num_classes
        if self.trains == "head" and self.parent is None:
            yield "`trains: head` needs a `parent` whose trunk it keeps"
        if self.head_first and (self.trains == "head" or self.parent is None):
            yield "`head_first` needs a `parent` whose trunk is trained later"
        turns = [0.0, *(each.at for each in self.shortened)]
        ends = [self.epochs, *(each.epochs for each in self.shortened)]
        if turns != sorted(turns) or ends != sorted(ends, reverse=True) or turns[-1] > ends[-1]:
            yield "`shortened` must name later and later epochs `at`, and ever fewer `epochs`, none of them before `at`"
        if self.validation.patience and not self.deployed.startswith("best-"):
            yield f"`validation.patience` waits for better weights, but `deployed` is {self.deployed}"
        weights = getattr(objective, "class_weights", ())
        if weights and len(weights) != outputs:
            yield f"`objective` has {len(weights)} class_weights, the network {outputs} outputs"
        sides = [phase.side for phase in self.resolution]
        if sides and (sides != sorted(set(sides)) or sides[-1] != self.side):
            yield f"the sides in `resolution` must rise to the full size, {self.side} pixels; found {sides}"
        if self.teacher and not isinstance(objective, Weighted):
            yield f"`objective` {objective.name} does not support `teacher`; use classification, trades or rslad"
        if isinstance(objective, Rslad) and self.teacher is None:
            yield "`objective` rslad needs a `teacher`, for example teacher=ensemble-p3f4.mini"
        for task in getattr(objective, "tasks", (objective,)):
            grid = getattr(task, "grid", 1)
            pieces = grid if isinstance(task, Selfie) else 1  # which sees its pieces one by one
            for side in sorted({*sides, self.side}):
                if reason := self.architecture.check_side(side // pieces):
                    yield f"`objective` {task.name}: {reason}" if pieces > 1 else f"`image_size`: {reason}"
            for side in sorted({side for side in (*sides, self.side) if side % grid}):
                yield f"`grid` of {task.name}: {side} pixels cannot be divided into {grid}x{grid} equal pieces"

    @property
    def folder_options(self) -> FolderOptions:
        """How the images are read, where `data` is a folder or a table."""
        return FolderOptions(self.parts, self.group_by, self.truncated)

    @property
    def side(self) -> int:
        """Pixels a side of the images, at full size."""
        return self.image_size or self.architecture.image_size

    def side_at(self, progress: float) -> int:
        """Return pixels a side of the images at this moment of training, progress in [0,1)."""
        return phase_at(self.resolution, progress)[0].side if self.resolution else self.side

    @property
    def length(self) -> float:
        """The epochs that the run takes, or took where it was shortened."""
        return self.shortened[-1].epochs if self.shortened else self.epochs

    @property
    def threat(self) -> Pgd | None:
        """The attack that validation measures RA with, where training ended with an adversary at all."""
        return self.validation.attack if self.adversary[-1].passes else None

    def head_alone(self, progress: float) -> bool:
        """Tell whether the trunk is frozen at this moment of training."""
        return self.trains == "head" or progress < self.head_first

    def phase(self, progress: float) -> tuple[Adversary, float]:
        """Return the adversary of this moment of training, and how much of its phase is over; progress in [0,1)."""
        phase, begin, end = phase_at(self.adversary, progress)
        return phase, (progress - begin) / (end - begin)


def names() -> list[str]:
    """Return the recipes that ship with the package."""
    return sorted(path.stem for path in resources.folder("recipes").glob("*.yaml"))


def load(source: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Load a recipe that trains something, as `load_any` does.

    Raises:
        UsageError: also if it is that of an ensemble.
    """
    recipe = load_any(source, overrides)
    if isinstance(recipe, EnsembleRecipe):
        raise UsageError(f"{recipe.full_name} is an ensemble: train its members {', '.join(recipe.members)}.")
    return recipe


def load_any(
    source: str | Path, overrides: list[str] | tuple[str, ...] = (), *, runs: Path | None = None
) -> Recipe | EnsembleRecipe:
    """Read a shipped recipe by name, or any YAML file, and apply `key.subkey=value` overrides (values in YAML).

    A recipe may name `base` files (in the folder `bases` beside it, or beside the shipped recipes), whose keys it
    takes over and may change. `profiles` of a file, of which `profile` picks one, change its own keys and those below,
    not those of files that build on it. One that names `members` makes an ensemble.

    Args:
        runs: a folder of runs; given, it is a mistake if the parent or a member is neither there, nor a folder, nor a
            known name, and if the data are not.

    Raises:
        UsageError: there is no such recipe, or something in it is wrong; all mistakes are named at once.
    """
    mistakes: list[str] = []
    values = _resolved(_find(source), overrides, mistakes)
    what = f"The recipe {source}"
    if runs:
        mistakes += [*_unknown_data(values), *_unknown_checkpoints(values, runs)]
    if "members" in values:
        return _validated(EnsembleRecipe, values, what, mistakes)
    return _validated(Recipe, values, what, mistakes)


def from_values(values: dict[str, Any], overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Build a recipe from its keys instead of a file, with overrides on top.

    Raises:
        UsageError: something in it is wrong; all mistakes are named at once.
    """
    values, mistakes = copy.deepcopy(values), []
    for override in overrides:
        mistakes += _override(values, override)
    return _validated(Recipe, values, "The recipe", mistakes)


def _validated(kind: type[AnyRecipe], values: dict[str, Any], what: str, mistakes: list[str]) -> AnyRecipe:
    try:
        recipe = kind.model_validate(values)
    except ValidationError as error:
        mistakes.insert(0, all_mistakes(error, _keys(kind.model_json_schema())))
    if mistakes:
        raise UsageError(f"{what} is invalid: {'; '.join(mistakes)}.")
    return recipe


def _resolved(path: Path, overrides: list[str] | tuple[str, ...], mistakes: list[str]) -> dict[str, Any]:
    """The keys of a recipe with its bases and its profile, and what was asked for on top.

    Args:
        mistakes: what is wrong with that is added to it.
    """
    offered: set[str] = set()
    profile = _with_bases(path, None, offered, []).get("profile")
    asked = [value for key, _, value in (override.partition("=") for override in overrides) if key == "profile"]
    if asked and asked[-1] not in offered:
        known = f"choose from {', '.join(sorted(offered))}" if offered else "leave it out"
        mistakes.append(f"profile: unknown profile {asked[-1]!r}{nearest(asked[-1], offered)} of {path.stem}; {known}")
        overrides, asked = [override for override in overrides if not override.startswith("profile=")], []
    values = _with_bases(path, asked[-1] if asked else profile, offered, [])
    for override in overrides:
        mistakes += _override(values, override)
    return values


def _unknown_data(values: dict[str, Any]) -> list[str]:
    """The data are a set with a name or a path."""
    name = values.get("data")
    if not isinstance(name, str) or name in datasets.names() or os.sep in name or _exists(Path(name)):
        return []
    return [f"data: unknown data set {name!r}{nearest(name, datasets.names())}"]


def _unknown_checkpoints(values: dict[str, Any], runs: Path) -> list[str]:
    """What a recipe builds on are checkpoint folders, runs in `runs`, or names of recipes or of checkpoints."""
    known = {*names(), *(entry.full_name for entry in index.entries())}
    members = values.get("members")
    listed = members if isinstance(members, list) else []
    asked = [("parent", values.get("parent")), *(("members", member) for member in listed)]
    asked += (("teacher", part) for part in _teachers(values.get("teacher")))
    return [
        f"{key}: unknown checkpoint {name!r}{nearest(name, known)}"
        for key, name in asked
        if isinstance(name, str)
        and names_in(name)
        and not (name in known or _exists(Path(name)) or _exists(runs / name))
    ]


def _teachers(value: object) -> list[str]:
    """The names in a `teacher`, which may be put together by +; addresses and the own average are none."""
    model = value.get("model") if isinstance(value, dict) else value
    if not isinstance(model, str) or model == OWN_AVERAGE:
        return []
    return names_in(model)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file system takes
        return False


def _keys(schema: object) -> set[str]:
    """All property names of a JSON schema, however deep."""
    if isinstance(schema, list):
        return set().union(*map(_keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*map(_keys, schema.values()))


def _read(path: Path) -> dict[str, Any]:
    content = read_bytes(path, plain_yaml.MOST_BYTES)
    try:
        values = copy.deepcopy(_parsed(content))
    except ValueError as error:
        raise UsageError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a recipe: it must be a map of keys.")
    return values


@functools.lru_cache(maxsize=512)  # many recipes share a base, and a page of results asks for most of them many times
def _parsed(content: bytes) -> Any:
    return plain_yaml.read(content)


def _with_bases(path: Path, profile: object, offered: set[str], met: list[Path]) -> dict[str, Any]:
    """The keys of a file on top of those of its bases, the first base lowest; its own profile on top of its keys.

    Args:
        offered: the names of all profiles that are met are added to it.
        met: the files so far, likewise.
    """
    met.append(path)
    if len(met) > MOST_FILES:
        raise UsageError(f"{met[0]} includes itself or more than {MOST_FILES} files as `base`.")
    values = _read(path)
    bases, profiles = values.pop("base", []), values.pop("profiles", None) or {}
    below: dict[str, Any] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        below = _merged(below, _with_bases(_find_base(base, path), profile, offered, met))
    if not isinstance(profiles, dict) or not all(isinstance(keys, dict) for keys in profiles.values()):
        raise UsageError(f"{path}: `profiles` must be a map from names to keys.")
    offered.update(profiles)
    return _merged(_merged(below, values), profiles.get(profile, {}) if isinstance(profile, str) else {})


def _find_base(name: object, asked_by: Path) -> Path:
    if not (isinstance(name, str) and re.fullmatch(BASE, name)):
        raise UsageError(f"{asked_by}: `base` must be the name of a file in {BASES}/ or a list of names, got {name!r}.")
    folders = [asked_by.parent, asked_by.parent / BASES, resources.folder("recipes") / BASES]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = {path.stem for folder in folders[1:] for path in folder.glob("*.yaml")}
    raise UsageError(f"{asked_by}: unknown `base` {name!r}.", f"Choose from {', '.join(sorted(known))}.")


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Maps are merged key by key, everything else (lists too) is replaced."""
    both = {
        key: _merged(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return below | above | both


def _find(source: str | Path) -> Path:
    if str(source) in names():
        return resources.folder("recipes") / f"{source}.yaml"
    path = Path(source)
    if not path.is_file():
        raise UsageError(
            f"Unknown recipe {str(source)!r}{nearest(str(source), names())}.",
            f"Give a YAML file, or choose from {', '.join(names())}.",
        )
    return path


def _override(values: dict[str, Any], override: str) -> list[str]:
    """Change a value, or say why that cannot be done."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return [f"{override!r} is not of the form KEY=VALUE, for example epochs=10"]
    *parents, last = key.split(".")
    place: Any = values
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[int(last) if isinstance(place, list) else last] = plain_yaml.read(text)
    except (ValueError, IndexError, TypeError, AttributeError):
        return [f"the override {override!r} does not match a key of the recipe"]
    return []
