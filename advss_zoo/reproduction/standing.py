"""Were weights made by the recipes as they stand? What was made otherwise is shown, and no claim is judged by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from advss_zoo.errors import AdvssError
from advss_zoo.reproduction import paper
from advss_zoo.training import recipe
from advss_zoo.zoo import CONFIG, checkpoint, index, sources
from advss_zoo.zoo.runs import RECIPE

Profile: TypeAlias = Literal["paper", "fast"]
AnyRecipe: TypeAlias = recipe.Recipe | recipe.EnsembleRecipe

SHOWN = 8  # characters of a sha256
LONGEST = 40  # characters of a value that is shown


@dataclass(frozen=True)
class Made:
    """How weights were made, as their card or their config.json says."""

    recipe_sha256: str
    parent: str | None
    parent_sha256: str | None
    folder: Path


class Standing:
    """Compares what made the weights of the zoo and of a folder of runs with the recipes of today."""

    def __init__(self, runs: Path, profile: Profile) -> None:
        self.profile = profile
        self._made: dict[str | None, Made] = dict([*_in_runs(runs), *_in_zoo()])
        self._known: dict[tuple[str, str | None], tuple[str, ...]] = {}

    def changes(self, full_name: str, sha256: str | None) -> tuple[str, ...]:
        """Return what differs between the making of weights and the recipe of that name, its parents included.

        Returns:
            A sentence for each difference; none if the recipe as it stands made them.
        """
        if (full_name, sha256) not in self._known:
            self._known[full_name, sha256] = self._changes(full_name, sha256)
        return self._known[full_name, sha256]

    def _changes(self, full_name: str, sha256: str | None) -> tuple[str, ...]:
        made = self._made.get(sha256) if sha256 else None
        if made is None:
            return (f"nothing here says how the weights {(sha256 or '')[:SHOWN]} of {full_name} were made",)
        try:
            wanted = load_recipe(full_name, self.profile)
        except AdvssError as error:
            return (error.message,)
        if isinstance(wanted, recipe.EnsembleRecipe):
            return (f"{full_name} is an ensemble now",)
        own = _differences(made, wanted)
        if own or wanted.parent is None:
            return tuple(f"{full_name}: {each}" for each in own)
        return self.changes(wanted.parent, made.parent_sha256)


def full_name(checkpoint: str, tag: str) -> str:
    """Return what a checkpoint of the paper is called with a tag: the first of it and its stand-ins that has a
    recipe.
    """
    names = [f"{name}.{tag}" for name in (checkpoint, paper.stand_in(checkpoint)) if name]
    return next((name for name in names if name in recipe.names()), names[0])


def tags() -> list[str]:
    """Return the sizes for which there are recipes."""
    return sorted({name.rpartition(".")[2] for name in recipe.names()})


def load_recipe(full_name: str, profile: Profile) -> AnyRecipe:
    """Return the shipped recipe of that name, in a profile; nothing of an ensemble depends on one.

    Raises:
        UsageError: there is none, or it has no such profile.
    """
    found = recipe.load_any(full_name)
    if isinstance(found, recipe.EnsembleRecipe) or found.profile == profile:
        return found
    return recipe.load(full_name, [f"profile={profile}"])


def differences(made: recipe.Recipe, wanted: recipe.Recipe) -> list[str]:
    """Return the keys in which two recipes differ, each with both values."""
    one, other = _flat(made.model_dump(mode="json")), _flat(wanted.model_dump(mode="json"))
    keys = [key for key in {**other, **one} if one.get(key) != other.get(key)]
    return [f"{key}={_short(one.get(key))} (recipe: {_short(other.get(key))})" for key in keys]


def _differences(made: Made, wanted: recipe.Recipe) -> list[str]:
    if made.recipe_sha256 == wanted.sha256:
        return []
    try:
        kept = recipe.load(made.folder / RECIPE)
    except AdvssError:
        kept = None
    if kept is None or kept.sha256 != made.recipe_sha256:
        return [f"another recipe ({made.recipe_sha256[:SHOWN]}, now {wanted.sha256[:SHOWN]})"]
    return differences(kept, wanted)


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _in_zoo() -> Iterator[tuple[str, Made]]:
    for entry in index.entries():
        told = entry.training
        if "recipe_sha256" in told:
            folder = sources.SOURCES[entry.stored](entry)
            yield entry.sha256, Made(told["recipe_sha256"], told.get("parent"), told.get("parent_sha256"), folder)


def _in_runs(runs: Path) -> Iterator[tuple[str | None, Made]]:
    for path in sorted(runs.glob(f"*/*/{CONFIG}")):
        try:
            config = checkpoint.read_config(path.parent)
        except AdvssError:
            continue
        if told := config.provenance:
            yield config.sha256, Made(told.recipe_sha256, told.parent, told.parent_sha256, path.parent)
