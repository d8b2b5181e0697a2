"""What the folder is called in which `advss eval` leaves the results of a model, unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path

from advss_zoo.errors import AdvssError
from advss_zoo.files import file_name
from advss_zoo.zoo import checkpoint


def folder_name(full_name: str, data: str, *, pick: str | None = None, limit: int | None = None) -> str:
    """Name the folder for a set of weights; `pick` as `pick_of` gives it, `limit` as in the command."""
    return file_name("-".join(str(part) for part in (full_name, pick, data, limit) if part is not None))


def pick_of(folder: Path) -> str | None:
    """Return which weights of its run a checkpoint has, where they are not those that the run stands for.

    Args:
        folder: of a checkpoint; of anything else nothing is known.
    """
    try:
        made = checkpoint.read_config(folder).provenance
    except AdvssError:
        return None
    return made.picked if made and made.picked != made.deployed else None
