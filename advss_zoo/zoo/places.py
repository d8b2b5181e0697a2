"""What the folder is called in which `advss eval` leaves the results of a model, unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path

from advss_zoo.errors import AdvssError
from advss_zoo.files import file_name
from advss_zoo.zoo import WEIGHTS, checkpoint
from advss_zoo.zoo.runs import RECIPE, shipped


def folder_name(full_name: str, data: str, *, pick: str | None = None, limit: int | None = None) -> str:
    """One name for each set of weights that goes by a name; `pick` as `pick_of` gives it, `limit` as in the command."""
    return file_name("-".join(str(part) for part in (full_name, pick, data, limit) if part is not None))


def pick_of(model: str | None) -> str | None:
    """Which weights of its run a checkpoint has, where they are not those that the run ships.

    Args:
        model: the path of a checkpoint folder or of the weights in one; of anything else nothing is known.
    """
    if model is None:
        return None
    path = Path(model)
    folder = path.parent if path.name == WEIGHTS else path
    try:
        made, ships = checkpoint.read_config(folder).provenance, shipped(folder / RECIPE)
    except AdvssError:
        return None
    return made.picked if made and made.picked != ships else None
