"""What people call a checkpoint: NAME, NAME.TAG, A+B, hf://ORG/REPO, or a path. Imports no torch.

A name of the zoo comes first, then what lies under this path, then a run of that name in ./runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.zoo import WEIGHTS, index, runs, sources


def as_path(reference: str) -> Path | None:
    """The path that a reference is; None if it is a name or an address.

    Raises:
        UsageError: it is neither.
    """
    if os.path.exists(reference) and not index.knows(reference):  # noqa: PTH110  whatever the text, it is no error
        return Path(reference)
    try:
        sources.parts(reference)
    except UsageError:
        if os.sep in reference and not sources.is_address(reference):
            return Path(reference)
        raise
    return None


def shadowed(reference: str) -> Path | None:
    """The run in ./runs that has the name of a checkpoint of the zoo, which is then meant."""
    return runs.find(reference) if index.knows(reference) else None


def folder(reference: str) -> Path:
    """The folder of a checkpoint that is no A+B.

    Raises:
        UsageError: there is no such checkpoint, or it is that of a run that is not finished.
        CheckpointError: its weights cannot be had.
    """
    path = as_path(reference)
    if path is None:
        return sources.fetch(reference).path
    if not path.exists():
        raise CheckpointError(f"There is no {path}.", "For a checkpoint of the zoo give its NAME, see `advss list`.")
    return runs.checkpoint_in(path.parent if path.name == WEIGHTS else path)
