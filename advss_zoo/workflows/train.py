"""Training by a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from advss_zoo.models.devices import pick_device
from advss_zoo.progress import Progress, ignore
from advss_zoo.texts import expected
from advss_zoo.training import cost, trainer
from advss_zoo.training.assembly import assemble
from advss_zoo.training.cost import Cost
from advss_zoo.training.recipe import EnsembleRecipe, Recipe, load_any
from advss_zoo.zoo.runs import RUNS

AnyRecipe: TypeAlias = Recipe | EnsembleRecipe


@dataclass(frozen=True)
class PlannedTraining:
    """A recipe as it would be run, and what it costs on this machine; None: nothing is trained but its members."""

    recipe: AnyRecipe
    device: str
    estimate: Cost | None

    def describe(self) -> str:
        if self.estimate is None or isinstance(self.recipe, EnsembleRecipe):
            return "An ensemble is not trained itself; train its members."
        steps, passes = self.estimate.steps, self.estimate.passes_per_image
        return (
            f"{steps:,} steps of {self.recipe.batch_size} images, {passes:.2g} forward+backward passes per image; "
            f"{expected(self.estimate.seconds, self.estimate.seconds_now)} ({self.device})."
        )


@dataclass(frozen=True)
class TrainedRun:
    """What came of a recipe: the folder of its run, and in it that of the checkpoint."""

    recipe: AnyRecipe
    folder: Path
    checkpoint: Path


def train(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = ignore,
) -> TrainedRun:
    """Make a checkpoint by a recipe; of finished members an ensemble.

    Args:
        recipe: a YAML file, or the name of a shipped recipe.
        overrides: changes to it, such as "epochs=10".
        out: the folder of the run; None: runs/NAME.TAG.
        resume: go on with the run in `out`.
        progress: called with what is trained, "steps", steps done, steps in all, and a note.

    Raises:
        UsageError: the recipe is not valid, or `out` holds another run.
        AdvssError: training diverges, or the disk is full.
    """
    found = _load(recipe, overrides, out)
    folder = Path(out) if out else RUNS / found.full_name
    if isinstance(found, EnsembleRecipe):
        return TrainedRun(found, folder, assemble(found, folder))
    told = partial(progress, found.full_name, "steps")
    checkpoint = trainer.train(found, folder, resume=resume, device=pick_device(device), progress=told)
    return TrainedRun(found, folder, checkpoint)


def plan_training(
    recipe: str | Path, overrides: Sequence[str] = (), *, out: str | Path | None = None, device: str = "auto"
) -> PlannedTraining:
    """Check a recipe, and estimate what `train` would take for it; train nothing.

    Raises:
        UsageError: the recipe is not valid.
    """
    found, where = _load(recipe, overrides, out), pick_device(device)
    estimate = None if isinstance(found, EnsembleRecipe) else cost.estimate(found, device=where)
    return PlannedTraining(found, where, estimate)


def _load(recipe: str | Path, overrides: Sequence[str], out: str | Path | None) -> AnyRecipe:
    """Read a recipe, whose parent may be a run beside its own."""
    return load_any(recipe, tuple(overrides), runs=Path(out).parent if out else RUNS)
