"""Runs: the folders that `advss train` and `advss finetune` leave, and the one checkpoint that each stands for.

Of a finished run that is the folder which its recipe ships (`ship`: best-ra, best-ta, average or last), of an
ensemble's run `ensemble`. Importing this imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import read_bytes
from advss_zoo.zoo import CONFIG, names

RUNS = Path("runs")  # where the commands look and write unless they are told otherwise
RECIPE = "recipe.yaml"
LOG = "log.jsonl"
CURVES = "curves.png"  # the course of training, in a run and in what was released of it
PLAN = "plan.json"  # of `advss finetune`: what was asked for, and the recipes that came of it
LAST = "last"  # the folder in a run that is there only once the run is finished
ENSEMBLE = "ensemble"  # likewise, of an ensemble
SHIPPED = ("average", "best-ta", "best-ra", LAST)


def is_run(folder: Path) -> bool:
    """Checkpoints keep their recipe, too, but have a configuration."""
    signs = (RECIPE, PLAN, f"{ENSEMBLE}/{CONFIG}")
    return not (folder / CONFIG).is_file() and any((folder / sign).is_file() for sign in signs)


def find(name: str, runs: Path = RUNS) -> Path | None:
    """The run in `runs` that NAME.TAG means; NAME alone, if there is but one.

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
        raise UsageError(f"{name!r} may be {' or '.join(folder.name for folder in found)}.", "Write one of them.")
    return found[0] if found else None


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint that a run stands for; any other folder is taken as it is.

    Raises:
        UsageError: the run is not finished.
        CheckpointError: its recipe does not say what it ships.
    """
    if not is_run(folder):
        return folder
    if (folder / ENSEMBLE / CONFIG).is_file():
        return folder / ENSEMBLE
    if not (folder / LAST / CONFIG).is_file():
        again = f"advss train {folder / RECIPE} --out {folder} --resume"
        asked = "the command that began it, and --resume" if (folder / PLAN).is_file() else again
        raise UsageError(f"The run {folder} is not finished.", f"Go on with it: {asked}")
    return folder / shipped(folder / RECIPE)


def shipped(path: Path) -> str:
    """Which folder of its run a recipe makes the checkpoint.

    Raises:
        AdvssError: the file is not a recipe, or names no such folder.
    """
    from advss_zoo import plain_yaml  # PyYAML is none of what torch.hub asks people to install

    try:
        found = plain_yaml.read(read_bytes(path, plain_yaml.MOST_BYTES))["ship"]
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} is not the recipe of a run.") from error
    if found not in SHIPPED:
        raise CheckpointError(f"{path} ships {str(found)[:100]!r}, which is none of {', '.join(SHIPPED)}.")
    return str(found)
