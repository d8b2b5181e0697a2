"""What has to be made before a checkpoint has its numbers, in order, what to type for it and how long it takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from advss_zoo.evaluation import protocols
from advss_zoo.report.ours import PROTOCOL, TEST_IMAGES, Ours
from advss_zoo.training import cost, recipe
from advss_zoo.zoo import CONFIG, index, sources
from advss_zoo.zoo.runs import ENSEMBLE, LAST, RUNS

AnyRecipe: TypeAlias = recipe.Recipe | recipe.EnsembleRecipe


@dataclass(frozen=True)
class Step:
    """One command; it is None where no recipe makes the checkpoint."""

    name: str
    action: Literal["train", "evaluate"]
    command: str | None
    protocol: str | None = None  # by which it is evaluated


def steps(full_names: Iterable[str], ours: Ours, protocol: str = PROTOCOL) -> list[Step]:
    """Everything between what there is and results on all test images, parents first, each step once."""
    found: dict[Step, None] = {}
    for name in full_names:
        if not ours.is_complete(name, protocol):
            found |= dict.fromkeys(_for_result(name, ours.runs, protocol))
    return list(found)


def seconds(step: Step, device: str) -> float | None:
    """How long a step takes, from a few timed passes of its net; None where nobody knows."""
    if step.command is None or step.name not in recipe.names():
        return None
    found = recipe.load_any(step.name)
    if step.protocol is None:
        return cost.estimate(found, device=device).seconds if isinstance(found, recipe.Recipe) else None
    passes = sum(1 + getattr(protocols.parse(part), "steps", 0) for part in protocols.expand(step.protocol))
    made = [recipe.load(name) for name in found.members] if isinstance(found, recipe.EnsembleRecipe) else [found]
    return sum(cost.evaluation(each, passes, TEST_IMAGES, device=device) for each in made)


def weights(full_name: str, runs: Path) -> Path:
    """The checkpoint folder of the zoo, or the one that a run leaves or will leave.

    Raises:
        CheckpointError: the zoo's is not on this machine.
    """
    return sources.fetch(full_name).path if _in_zoo(full_name) else runs / full_name / _shipped(full_name, runs)


def _for_result(full_name: str, runs: Path, protocol: str) -> list[Step]:
    making = _for_weights(full_name, runs)
    if any(step.command is None for step in making):
        return making
    return [*making, Step(full_name, "evaluate", _evaluation(full_name, runs, protocol), protocol)]


def _for_weights(full_name: str, runs: Path) -> list[Step]:
    finished = (runs / full_name / kind / CONFIG for kind in (LAST, ENSEMBLE))
    if _in_zoo(full_name) or any(path.is_file() for path in finished):
        return []
    if full_name not in recipe.names():
        return [Step(full_name, "train", None)]
    before = [step for name in _parents(recipe.load_any(full_name)) for step in _for_weights(name, runs)]
    possible = all(step.command for step in before)
    return [*before, Step(full_name, "train", _training(full_name, runs) if possible else None)]


def _parents(found: AnyRecipe) -> list[str]:
    if isinstance(found, recipe.EnsembleRecipe):
        return found.members
    return [found.parent] if found.parent else []


def _in_zoo(full_name: str) -> bool:
    return any(entry.full_name == full_name for entry in index.entries())


def _shipped(full_name: str, runs: Path) -> str:
    """Which of the folders of a run is the checkpoint that it makes."""
    kept = runs / full_name / "recipe.yaml"
    found = recipe.load_any(kept if kept.is_file() else full_name)
    return ENSEMBLE if isinstance(found, recipe.EnsembleRecipe) else found.ship


def _training(full_name: str, runs: Path) -> str:
    folder = runs / full_name
    options = ["--resume"] if folder.exists() else []
    return shlex.join(["advss", "train", full_name, *options, *_out(folder, runs)])


def _evaluation(full_name: str, runs: Path, protocol: str) -> str:
    subject = [full_name] if _in_zoo(full_name) else ["--model", str(runs / full_name / _shipped(full_name, runs))]
    out = _out(runs / "eval" / f"{full_name}-cifar10", runs)
    attack = [] if protocol == PROTOCOL else ["--attack", protocol]
    return shlex.join(["advss", "eval", *subject, *attack, "--data", "cifar10", *out])


def _out(folder: Path, runs: Path) -> list[str]:
    """Where the commands put things by themselves needs no option."""
    return [] if runs == RUNS else ["--out", str(folder)]
