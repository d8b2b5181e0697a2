"""Where weights come from: the wheel, or the `weights/` of a source checkout. Whatever arrives is checked by sha256."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advss_zoo import resources
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import explained, sha256_of
from advss_zoo.zoo import WEIGHTS, ensembles, index
from advss_zoo.zoo.index import Entry

# The folder a checkpoint would have in each source, in the order of asking.
SOURCES: dict[str, Callable[[Entry], Path]] = {
    "bundled": lambda entry: resources.PACKAGE / "bundled" / entry.full_name,
    "checkout": lambda entry: resources.CHECKOUT / "weights" / entry.full_name,
}


@dataclass(frozen=True)
class Fetched:
    """A checkpoint folder on this machine whose weights have the sha256 of the index."""

    full_name: str
    path: Path
    sha256: str
    source: str


def fetch(name: str) -> Fetched:
    """The checkpoint folder of NAME or NAME.TAG, from the first source that has the right weights.

    Raises:
        UsageError: there is no such checkpoint.
        CheckpointError: no source has it, or what is there has another sha256.
    """
    if "+" in name:
        raise UsageError(f"{name} is an ensemble put together on the spot.", "Pull its members one by one.")
    entry = index.find(name)
    refused = []
    for source, folder_of in SOURCES.items():
        folder = folder_of(entry)
        found = _sha256_in(folder)
        if found is None:
            continue
        if found == entry.sha256:
            return Fetched(entry.full_name, folder, found, source)
        refused.append(f"{folder} has sha256 {found}, expected {entry.sha256}")
    if refused:
        raise CheckpointError(
            f"The weights of {entry.full_name} are damaged: {'; '.join(refused)}.", "Reinstall advss-zoo."
        )
    raise CheckpointError(
        f"The weights of {entry.full_name} are not part of this installation.",
        "Clone the repository with its weights/ folder, or choose a bundled checkpoint (see `advss list`).",
    )


def _sha256_in(folder: Path) -> str | None:
    """Of the weights in a checkpoint folder, or of those that an ensemble names; None where there is neither."""
    if ensembles.is_ensemble(folder):
        return ensembles.read(folder).sha256
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    with explained("read", weights):
        return sha256_of(weights)
