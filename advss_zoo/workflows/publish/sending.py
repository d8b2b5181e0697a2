"""Where a checkpoint is published: a repository on the Hub, or a folder of the same layout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants
from huggingface_hub.utils.tqdm import disable_progress_bars

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import explained, write_atomically
from advss_zoo.version import __version__
from advss_zoo.workflows.publish.collecting import Bundle, Content
from advss_zoo.zoo import CONFIG, hub, index, load
from advss_zoo.zoo.snapshot import ORGANISATION, Address, Snapshot, belongs, digest

TAG = f"v{__version__}"
COLLECTION = "advss-zoo"
ABOUT = "Adversarially robust classifiers and trunks, with their recipes and the verdicts behind their numbers."

Change = Literal["new", "changed", "removed"]


@dataclass(frozen=True)
class PublishedCheckpoint:
    """What publishing changed, or with a dry run would.

    `sizes` are the bytes of each new or changed file. On the Hub there is a `commit`, and `tagged` is the one that the
    tag of this release stands at; `recorded` is the file of the index that says so.
    """

    full_name: str
    target: str
    changes: Mapping[str, Change]
    sizes: Mapping[str, int]
    commit: str | None = None
    tagged: str | None = None
    recorded: Path | None = None


def to_folder(bundle: Bundle, folder: Path, *, dry_run: bool = False) -> PublishedCheckpoint:
    """Make `folder` hold the checkpoint; files in it that belong to no checkpoint are left alone.

    Raises:
        UsageError: it holds something else.
        CheckpointError: a file is no longer what was verified.
        AdvssError: it cannot be written to.
    """
    _check_place(folder, bundle.full_name)
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    changes = _changes(bundle, {name: digest(path) for name, path in names.items() if belongs(name)})
    for name in [] if dry_run else sorted(changes, key=lambda name: name != CONFIG):  # which says whose folder it is
        if changes[name] == "removed":
            with explained("delete", folder / name):
                (folder / name).unlink()
        else:
            _write(folder / name, bundle.files[name])
    return PublishedCheckpoint(bundle.full_name, str(folder), changes, _sizes(bundle, changes))


def _check_place(folder: Path, full_name: str) -> None:
    """
    Raises:
        UsageError: the folder is neither new nor empty, nor does it hold this checkpoint.
    """
    with explained("read", folder):
        if not folder.is_dir() or not any(folder.iterdir()):
            return
    with suppress(AdvssError):
        if load.read_config(folder).full_name == full_name:
            return
    raise UsageError(f"{folder} is not empty and does not hold {full_name}.", "Choose a new folder.")


def to_hub(
    bundle: Bundle, address: Address, *, private: bool = False, gated: bool = False, dry_run: bool = False
) -> PublishedCheckpoint:
    """Make the repository hold the checkpoint, in one commit, or none where nothing changed; tag and record it.

    Args:
        private: only its owner may see it.
        gated: its owner decides who may download it.

    Raises:
        UsageError: it is to be private or gated, and is there and is not.
        CheckpointError: the Hub cannot be reached, or does not allow it; or a file is no longer what was verified.
    """
    _check_online()
    there = _existing(address)
    if dry_run:
        changes = _changes(bundle, there.files if there else {})
        return PublishedCheckpoint(bundle.full_name, str(address), changes, _sizes(bundle, changes))
    client = hub.api()
    with hub.explained(address):
        if there is None:
            client.create_repo(address.repository, private=private or None, exist_ok=True)
            if gated:
                client.update_repo_settings(address.repository, gated="manual")
        elif private or gated:
            info = client.model_info(address.repository)
            if private and not info.private:
                raise UsageError(
                    f"{address} already exists and is public.", "Make it private on the Hub, or do not ask for private."
                )
            if gated and not info.gated:
                raise UsageError(
                    f"{address} already exists and is not gated.", "Gate it on the Hub, or do not ask for gated."
                )
    there = there or hub.look_up(address)
    changes = _changes(bundle, there.files)
    if changes:
        there = _commit(bundle, address, there, changes)
    published = replace(there, files=dict(sorted(bundle.digests.items())))
    return PublishedCheckpoint(
        bundle.full_name,
        str(address),
        changes,
        _sizes(bundle, changes),
        there.commit,
        _tag(address, there.commit),
        index.record(bundle.entry, published) if bundle.entry and address.owner == ORGANISATION else None,
    )


def gather(owner: str, repositories: Iterable[str], *, private: bool = False) -> str:
    """Put repositories on one page, the owner's collection; returns its address."""
    _check_online()
    client = hub.api()
    with hub.explained(Address(owner)):
        collection = client.create_collection(
            COLLECTION, namespace=owner, description=ABOUT, private=private, exists_ok=True
        )
        known = {item.item_id for item in collection.items}
        for repository in repositories:
            if repository not in known:
                client.add_collection_item(collection.slug, repository, "model", exists_ok=True)
        return collection.url


def _check_online() -> None:
    """
    Raises:
        UnreachableError: the client is told to ask nobody.
    """
    if constants.is_offline_mode():
        raise hub.UnreachableError(
            "Publishing needs the network, but HF_HUB_OFFLINE is set.", "Unset it and try again."
        )


def _changes(bundle: Bundle, there: Mapping[str, str]) -> dict[str, Change]:
    """
    Raises:
        CheckpointError: a file is no longer what was verified.
    """
    changes: dict[str, Change] = {}
    for name, content in sorted(bundle.files.items()):
        if digest(content) != bundle.digests[name]:
            raise CheckpointError(
                f"{bundle.full_name}: {name} has changed since it was verified.", "Run the same command again."
            )
        if name not in there:
            changes[name] = "new"
        elif digest(content, like=there[name]) != there[name]:
            changes[name] = "changed"
    return changes | dict.fromkeys(sorted(set(there) - set(bundle.files)), "removed")


def _sizes(bundle: Bundle, changes: Mapping[str, Change]) -> dict[str, int]:
    contents = {name: bundle.files[name] for name, change in changes.items() if change != "removed"}
    return {name: each.stat().st_size if isinstance(each, Path) else len(each) for name, each in contents.items()}


def _existing(address: Address) -> Snapshot | None:
    try:
        return hub.look_up(address)
    except hub.MissingError:
        return None


def _commit(bundle: Bundle, address: Address, there: Snapshot, changes: Mapping[str, Change]) -> Snapshot:
    """One commit on top of what was compared with; afterwards the Hub must say that it has every file."""
    operations: list[Any] = [
        CommitOperationDelete(name) if change == "removed" else CommitOperationAdd(name, bundle.files[name])
        for name, change in changes.items()
    ]
    with hub.explained(address), nullcontext() if sys.stderr.isatty() else disable_progress_bars():
        done = hub.api().create_commit(
            address.repository,
            operations,
            commit_message=f"{bundle.full_name} of advss-zoo {__version__}",
            parent_commit=there.commit,
        )
    made = hub.look_up(replace(address, revision=done.oid))
    if left := _changes(bundle, made.files):
        raise CheckpointError(f"{made} does not hold what was sent: {', '.join(left)}.", hub.AGAIN)
    return made


def _tag(address: Address, commit: str) -> str:
    """Give the commit this release's tag, unless another has it already: a tag does not move. Returns who has it."""
    client = hub.api()
    with hub.explained(address):
        known = {ref.name: ref.target_commit for ref in client.list_repo_refs(address.repository).tags}
        if TAG not in known:
            client.create_tag(address.repository, tag=TAG, revision=commit, exist_ok=True)
    return known.get(TAG, commit)


def _write(path: Path, content: Content) -> None:
    def fill(file: BinaryIO) -> None:
        if isinstance(content, bytes):
            file.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, file)

    write_atomically(path, fill)
