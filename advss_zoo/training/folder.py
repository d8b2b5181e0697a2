"""The folder of a run: what its files are called, whose it is, and what a kill left in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advss_zoo.errors import UsageError
from advss_zoo.files import held, remove_leftovers
from advss_zoo.training.parents import PARENT
from advss_zoo.training.recipe import Recipe, load
from advss_zoo.zoo import CONFIG, SEEN, WEIGHTS
from advss_zoo.zoo.runs import CURVES, LOG, PICKS, RECIPE

STATE = "state.safetensors"


def check_claim(out: Path, recipe: Recipe, resume: bool) -> None:
    """Check that the folder is free, or that of this run. How a batch is cut into shares is checked with the state.

    Raises:
        UsageError: it holds another recipe's run, or this one and `resume` is false.
    """
    kept = out / RECIPE
    if not kept.exists():
        return
    free = {"accumulation": recipe.accumulation, "shortened": recipe.shortened}  # what the run itself may have changed
    if load(kept).model_copy(update=free) != recipe:
        raise UsageError(f"{out} already holds a run of another recipe.", "Choose another --out, or delete it.")
    if not resume:
        raise UsageError(f"{out} already holds this run.", "Add --resume to continue it, or choose another --out.")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder of a run.

    Raises:
        UsageError: another process does.
    """
    with held(out / ".lock") as mine:
        if not mine:
            raise UsageError(f"Another process is training in {out}.", "Wait for it, or choose another --out.")
        yield


def sweep(out: Path) -> None:
    """Delete what a kill left of the files of a run."""
    remove_leftovers(out, RECIPE, CURVES, PARENT, SEEN, LOG, STATE)
    for picked in PICKS:
        remove_leftovers(out / picked, RECIPE, CONFIG, SEEN, WEIGHTS)
