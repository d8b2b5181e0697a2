"""Runs: the folders that `advss train` and `advss finetune` leave, and the one checkpoint that each stands for.

Of a finished run that is the folder of the deployed weights (best-ra, best-ta, average or last), which every checkpoint
in it names; of an ensemble's run it is `ensemble`. Importing this imports no torch.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import read_json
from advss_zoo.zoo import CONFIG, WEIGHTS, names

RUNS = Path("runs")  # where the commands look and write unless they are told otherwise
RECIPE = "recipe.yaml"
LOG = "log.jsonl"
CURVES = "curves.png"  # the course of training, in a run and in what was released of it
PLAN = "plan.json"  # of `advss finetune`: what was asked for, and the recipes that came of it
LAST = "last"  # the folder in a run that is there only once the run is finished
ENSEMBLE = "ensemble"  # likewise, of an ensemble
PICKS = ("average", "best-ta", "best-ra", LAST)


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run. Checkpoints keep their recipe, too, but have a configuration and weights."""
    signs = (RECIPE, PLAN, f"{ENSEMBLE}/{CONFIG}")
    checkpoint = any((folder / part).is_file() for part in (CONFIG, WEIGHTS))
    return not checkpoint and any((folder / sign).is_file() for sign in signs)


def find(name: str, runs: Path = RUNS) -> Path | None:
    """Find the run in `runs` that NAME.TAG means; NAME alone, if there is only one.

    Raises:
        UsageError: there are several.
    """
    try:
        wanted = names.parse(name)
    except UsageError:
        return None
    if is_run(runs / name):
        return runs / name
    found = [] if wanted.tag else [folder for folder in sorted(runs.glob(f"{name}.*")) if is_run(folder)]
    if len(found) > 1:
        raise UsageError(f"{name!r} is ambiguous.", f"Choose from {', '.join(folder.name for folder in found)}.")
    return found[0] if found else None


def checkpoint_in(folder: Path) -> Path:
    """Return the checkpoint that a run stands for; any other folder is returned as it is.

    Raises:
        UsageError: the run is not finished.
        CheckpointError: its last checkpoint does not say which weights are deployed.
    """
    if not is_run(folder):
        return folder
    if (folder / ENSEMBLE / CONFIG).is_file():
        return folder / ENSEMBLE
    if not (folder / LAST / CONFIG).is_file():
        again = shlex.join(["advss", "train", str(folder / RECIPE), "--out", str(folder), "--resume"])
        asked = "repeat its command with --resume" if (folder / PLAN).is_file() else again
        raise UsageError(f"The run {folder} is not finished.", f"Resume it: {asked}")
    return folder / _deployed(folder / LAST / CONFIG)


def _deployed(config: Path) -> str:
    try:
        found = read_json(config)["provenance"]["deployed"]
    except (LookupError, TypeError):
        found = None
    if found not in PICKS:
        raise CheckpointError(f"`provenance.deployed` in {config} must be one of {', '.join(PICKS)}, got {found!r}.")
    return str(found)
