"""What the cache holds, and throwing away what nothing refers to any more."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CachedRepoInfo, HFCacheInfo, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from advss_zoo.files import cache_folder, explained
from advss_zoo.zoo import hub, index
from advss_zoo.zoo.sources import CONVERTED

ABANDONED_AFTER = 600.0  # seconds without a byte, after which a download is taken for dead


@dataclass(frozen=True)
class Item:
    """Something in the cache. `kept` says what refers to it; None: nothing does, and `prune` deletes it."""

    kind: str  # checkpoint, converted, data, unfinished or damaged
    name: str
    bytes: int
    path: Path
    kept: str | None


def items() -> list[Item]:
    """List everything in the cache, checkpoints first.

    Raises:
        AdvssError: the cache cannot be read.
    """
    with explained("read", cache_folder()):
        found = _scan()
        return [*_checkpoints(found), *_converted(), *_data(), *_unfinished(), *_damaged(found)]


def prune() -> list[Item]:
    """Delete what nothing refers to; returns that.

    Raises:
        AdvssError: something cannot be deleted.
    """
    gone = [item for item in items() if item.kept is None]
    commits = [item.path.name for item in gone if item.kind == "checkpoint"]
    with explained("delete from", cache_folder()):
        if (found := _scan()) is not None:
            found.delete_revisions(*commits).execute()
        for item in gone:
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        for record in hub.records().glob("*/*.json"):
            noted = hub.read_record(record)
            if noted is None or noted.commit in commits:
                record.unlink(missing_ok=True)
    return gone


def _scan() -> HFCacheInfo | None:
    try:
        return scan_cache_dir(hub.folder())
    except CacheNotFound:
        return None


def _checkpoints(found: HFCacheInfo | None) -> Iterator[Item]:
    """Of the zoo's repositories the commits in its index are kept, of any other the newest that was pulled."""
    pinned = {entry.hub.commit: entry.full_name for entry in index.entries() if entry.hub}
    published = {entry.hub.repository for entry in index.entries() if entry.hub}
    for repository in _repositories(found):
        newest = max(revision.last_modified for revision in repository.revisions)
        for revision in sorted(repository.revisions, key=lambda revision: revision.last_modified):
            latest = revision.last_modified == newest and repository.repo_id not in published
            yield Item(
                "checkpoint",
                f"hf://{repository.repo_id}@{revision.commit_hash}",
                revision.size_on_disk,
                revision.snapshot_path,
                pinned.get(revision.commit_hash) or ("newest of its repository" if latest else None),
            )


def _repositories(found: HFCacheInfo | None) -> list[CachedRepoInfo]:
    known: Iterable[CachedRepoInfo] = found.repos if found else ()
    return sorted((each for each in known if each.revisions), key=lambda repository: repository.repo_id)


def _converted() -> Iterator[Item]:
    """Models of other libraries, which are converted anew when they are opened."""
    for path in sorted(cache_folder().glob(f"{CONVERTED}/*")):
        yield Item("converted", path.name, _bytes(path.rglob("*")), path, None)


def _data() -> Iterator[Item]:
    for path in sorted((cache_folder() / "data").glob("[!.]*")):
        yield Item("data", path.stem, _bytes([path, *path.rglob("*")]), path, "data set")


def _unfinished() -> Iterator[Item]:
    """What downloads and writers have begun, or left when they were killed."""
    for path in sorted(cache_folder().rglob(".*.part")):
        try:
            status = path.stat()
        except FileNotFoundError:  # finished, or given up, since it was listed
            continue
        busy = time.time() - status.st_mtime < ABANDONED_AFTER
        yield Item("unfinished", path.name, status.st_size, path, "may still be in use" if busy else None)


def _damaged(found: HFCacheInfo | None) -> Iterator[Item]:
    """Repositories that huggingface_hub cannot make sense of."""
    whole = {repository.repo_path for repository in _repositories(found)}
    for path in sorted(hub.folder().resolve().glob("models--*")):
        if path not in whole:
            yield Item("damaged", path.name, _bytes(path.rglob("*")), path, None)


def _bytes(paths: Iterable[Path]) -> int:
    """Of the files among them. Other processes may rename or delete one while it is looked at."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
