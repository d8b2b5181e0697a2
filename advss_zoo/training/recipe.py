"""The recipe: one YAML file that makes one checkpoint, checked as a whole before anything starts."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

import advss_zoo.adversaries
import advss_zoo.objectives
from advss_zoo import resources
from advss_zoo.adversaries.base import Adversary
from advss_zoo.adversaries.pgd import Pgd
from advss_zoo.data.augmentation import Augmentation
from advss_zoo.errors import UsageError, all_mistakes
from advss_zoo.files import explained
from advss_zoo.models.architecture import Architecture
from advss_zoo.objectives.base import Objective
from advss_zoo.registry import subclasses
from advss_zoo.training.schedules import OneCycle, phase_at


def _any_of(package: ModuleType, base: type[Any]) -> Any:
    """A field that takes any of the classes that `package` defines, told apart by their `name`."""
    kinds = subclasses(package, base)
    union = functools.reduce(operator.or_, kinds)
    return Annotated[union, Field(discriminator="name")] if len(kinds) > 1 else union


if TYPE_CHECKING:
    AnyObjective: TypeAlias = Objective
    AnyAdversary: TypeAlias = Adversary
else:
    AnyObjective = SerializeAsAny[_any_of(advss_zoo.objectives, Objective)]
    AnyAdversary = SerializeAsAny[_any_of(advss_zoo.adversaries, Adversary)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sgd(_Part):
    """Stochastic gradient descent; batch norm and biases are not decayed unless asked for."""

    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)


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


class Recipe(_Part):
    """Everything that determines a checkpoint. Two runs of one recipe on one machine give the same weights."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="checkpoint name without its tag: p1f4")
    tag: str = Field(pattern=r"^[a-z0-9]+$", description="size and family: r50, mini")
    task: str | None = Field(None, description="pretext task of the trunk; none for P1")
    scenario: str = Field(description="how trunk and head are trained: p1f4")
    profile: Literal["paper", "fast"] = "fast"
    architecture: Architecture
    data: str = "cifar10"
    augmentation: Augmentation = Augmentation()
    objective: AnyObjective
    adversary: list[AnyAdversary] = Field(min_length=1)
    trains: Literal["all", "head"] = Field("all", description="head: the trunk is frozen, statistics included (F1, F2)")
    epochs: int = Field(ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: Sgd = Sgd()
    schedule: list[OneCycle] = Field(min_length=1)
    averaging: Averaging = Averaging()
    validation: Validation = Validation()
    ship: Literal["average", "best-ta", "best-ra", "last"] = "best-ta"
    precision: Literal["fp32", "bf16"] = Field("bf16", description="of the forward passes; weights are always fp32")
    seed: int = Field(20, ge=0)

    @model_validator(mode="after")
    def _phases_in_order(self) -> Recipe:
        for key, phases in (("adversary", self.adversary), ("schedule", self.schedule)):
            ends = [phase.until for phase in phases]
            if ends != sorted(set(ends)) or ends[-1] != 1:
                raise ValueError(f"the phases of `{key}` must end at rising fractions, the last at 1; found {ends}")
        return self

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"

    def phase(self, progress: float) -> tuple[Adversary, float]:
        """The adversary of this moment of training, and how much of its phase is over; progress in [0,1)."""
        phase, begin, end = phase_at(self.adversary, progress)
        return phase, (progress - begin) / (end - begin)

    def to_yaml(self) -> str:
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    @property
    def sha256(self) -> str:
        """Of the resolved recipe, so that comments and spelled-out defaults do not change it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(path.stem for path in resources.folder("recipes").glob("*.yaml"))


def load(source: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a shipped recipe by name, or any YAML file, and apply `key.subkey=value` overrides (values in YAML).

    Raises:
        UsageError: there is no such recipe, or something in it is wrong; all mistakes are named at once.
    """
    path = _find(source)
    with explained("read", path):
        content = path.read_bytes()
    try:
        values = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a recipe: it holds no keys.")
    for override in overrides:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"The recipe {source} cannot be used: {all_mistakes(error)}.") from error


def _find(source: str | Path) -> Path:
    if str(source) in names():
        return resources.folder("recipes") / f"{source}.yaml"
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"There is no recipe {str(source)!r}.", f"Give a YAML file or one of: {', '.join(names())}.")
    return path


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"{override!r} is not an override.", "Write key=value, for example epochs=10.")
    *parents, last = key.split(".")
    place: Any = values
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[int(last) if isinstance(place, list) else last] = yaml.safe_load(text)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise UsageError(f"The override {override!r} does not fit the recipe.") from None
