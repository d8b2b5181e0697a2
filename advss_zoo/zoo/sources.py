"""Where weights come from: the wheel, the `weights/` of a source checkout, the Hub, or a run of one's own.

What is the zoo's is checked by sha256. A name that is not the zoo's means the run of that name in ./runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advss_zoo import resources
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import explained, sha256_of
from advss_zoo.zoo import WEIGHTS, ensembles, index, runs, snapshot
from advss_zoo.zoo.index import Entry

# The folder a checkpoint would have in each source on this machine, in the order of asking; the Hub comes last.
SOURCES: dict[str, Callable[[Entry], Path]] = {
    "bundled": lambda entry: resources.PACKAGE / "bundled" / entry.full_name,
    "checkout": lambda entry: resources.CHECKOUT / "weights" / entry.full_name,
}
HUB, RUN = "hub", "run"


@dataclass(frozen=True)
class Fetched:
    """A checkpoint folder on this machine whose weights have the sha256 of the index.

    Of a repository on the Hub that is not the zoo's the full name is its address with the commit, and the files are
    those that the Hub says are there. Of a run the full name is that of its folder.
    """

    full_name: str
    path: Path
    sha256: str
    source: str


def parts(name: str) -> list[str]:
    """What `a+b+c` is put together of; each a name of the zoo or of a run, or the address of a repository.

    Raises:
        UsageError: a part is none of these, or a run that is not finished.
    """
    found = name.split("+")
    for part in found:
        if is_address(part):
            snapshot.parse_repository(part)
        else:
            find(part)
    return found


def find(name: str) -> Entry | Path:
    """What NAME or NAME.TAG means: a checkpoint of the zoo, else a run in ./runs.

    Raises:
        UsageError: there is neither, or the run is not finished.
    """
    try:
        return index.find(name)
    except UsageError:
        run = runs.find(name)
        if run is None:
            raise
        runs.checkpoint_in(run)
        return run


def is_address(name: str) -> bool:
    return name.startswith(snapshot.PREFIX)


def fetch(name: str) -> Fetched:
    """The checkpoint folder of NAME or NAME.TAG, from the first source that has the right weights, or of hf://ORG/NAME.

    Raises:
        UsageError: there is no such checkpoint, or it is a run that is not finished.
        CheckpointError: no source has it, or what is there has another sha256.
    """
    if "+" in name:
        raise UsageError(f"{name} is an ensemble put together on the spot.", "Pull its members one by one.")
    if is_address(name):
        return _from_repository(snapshot.parse_repository(name))
    entry = find(name)
    if isinstance(entry, Path):
        return _from_run(entry)
    refused = []
    for source, folder_of in SOURCES.items():
        folder = folder_of(entry)
        found = _sha256_in(folder)
        if found is None:
            continue
        if found == entry.sha256:
            return Fetched(entry.full_name, folder, found, source)
        refused.append(f"{folder} has sha256 {found}, expected {entry.sha256}")
    if entry.hub is not None:
        return _from_hub(entry, entry.hub)
    if refused:
        raise CheckpointError(
            f"The weights of {entry.full_name} are damaged: {'; '.join(refused)}.", "Reinstall advss-zoo."
        )
    raise CheckpointError(
        f"The weights of {entry.full_name} are not part of this installation.",
        "Clone the repository with its weights/ folder, or choose a bundled checkpoint (see `advss list`).",
    )


def _from_run(run: Path) -> Fetched:
    folder = runs.checkpoint_in(run)
    found = _sha256_in(folder)
    if found is None:
        raise CheckpointError(f"{folder} holds no checkpoint: it has no {WEIGHTS}.")
    return Fetched(run.name, folder, found, RUN)


def _from_hub(entry: Entry, published: snapshot.Snapshot) -> Fetched:
    from advss_zoo.zoo import hub

    folder = hub.fetch(published)
    found = _sha256_in(folder)
    if found != entry.sha256:
        raise CheckpointError(f"{published} has the weights {found}, but {entry.full_name} has {entry.sha256}.")
    return Fetched(entry.full_name, folder, found, HUB)


def _from_repository(address: snapshot.Address) -> Fetched:
    from advss_zoo.zoo import hub

    there = hub.resolve(address)
    folder = hub.fetch(there)
    found = _sha256_in(folder)
    if found is None:
        raise CheckpointError(f"{there} holds no checkpoint: it has no {WEIGHTS}.")
    return Fetched(str(there), folder, found, HUB)


def _sha256_in(folder: Path) -> str | None:
    """Of the weights in a checkpoint folder, or of those that an ensemble names; None where there is neither."""
    if ensembles.is_ensemble(folder):
        return ensembles.read(folder).sha256
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    with explained("read", weights):
        return sha256_of(weights)
