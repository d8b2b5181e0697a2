"""Where weights come from: the wheel, the `weights/` of a source checkout, the Hub, or a folder of the user's.

What is the zoo's is checked by sha256.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advss_zoo import resources
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import explained, sha256_of
from advss_zoo.zoo import CARD, WEIGHTS, ensembles, index, snapshot
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.reference import Reference, parse_reference

# The folder a checkpoint would have in each source on this machine, in the order of asking; the Hub comes last.
SOURCES: dict[str, Callable[[Entry], Path]] = {
    "bundled": lambda entry: resources.PACKAGE / "bundled" / entry.full_name,
    "checkout": lambda entry: resources.CHECKOUT / "weights" / entry.full_name,
}
HUB = "hub"
CONVERTED = "libraries"  # the folder of the cache with the models of other libraries


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


def fetch(reference: Reference | str | Path) -> Fetched:
    """Get the checkpoint folder of a reference onto this machine; of one of the zoo from the first source that has it.

    Raises:
        UsageError: there is no such checkpoint, or it is an ensemble put together on the spot, or no checkpoint folder.
        CheckpointError: no source has it, or what is there has another sha256.
    """
    reference = parse_reference(reference)
    if reference.kind == "ensemble":
        raise UsageError(f"{reference} is an ensemble, not a single checkpoint.", "Give its members one by one.")
    if reference.kind == "zoo":
        return _from_zoo(index.find(reference.text))
    if reference.kind == "hub":
        owner, _, name = reference.name.partition("/")
        return _from_repository(snapshot.Address(owner, name, reference.revision))
    if reference.is_of_library:
        from advss_zoo.zoo import libraries

        found = libraries.fetch(reference)
        return Fetched(reference.text, found, _sha256_of(found), reference.kind)
    if reference.path is None or not reference.path.is_dir():
        raise UsageError(f"{reference} is not a checkpoint folder.", "Give a NAME of the zoo, a run or a folder.")
    return Fetched(reference.name or str(reference.path), reference.path, _sha256_of(reference.path), reference.kind)


def card(reference: Reference) -> str:
    """Return the card of a checkpoint, in Markdown.

    Raises:
        UsageError: it is not a checkpoint.
        CheckpointError: its folder holds no card.
    """
    if reference.kind == "zoo":
        return index.card(reference.text)
    path = fetch(reference).path / CARD
    if not path.is_file():
        raise CheckpointError(f"The card of {reference} is missing: {path} does not exist.")
    with explained("read", path):
        return path.read_text(encoding="utf-8", errors="replace")


def _from_zoo(entry: Entry) -> Fetched:
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
        f"The weights of {entry.full_name} are not in this installation.",
        "Clone the repository with its weights/ folder, or choose a bundled checkpoint (see `advss list`).",
    )


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
    return Fetched(str(there), folder, _sha256_of(folder, str(there)), HUB)


def _sha256_of(folder: Path, called: str = "") -> str:
    """
    Raises:
        CheckpointError: there are no weights.
    """
    found = _sha256_in(folder)
    if found is None:
        raise CheckpointError(f"{called or folder} is not a checkpoint: {WEIGHTS} is missing.")
    return found


def _sha256_in(folder: Path) -> str | None:
    """Of the weights in a checkpoint folder, or of those that an ensemble names; None where there is neither."""
    if ensembles.is_ensemble(folder):
        return ensembles.read(folder).sha256
    weights = folder / WEIGHTS
    if not weights.is_file():
        return None
    with explained("read", weights):
        return sha256_of(weights)
