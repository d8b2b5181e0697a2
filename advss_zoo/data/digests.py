"""sha256 of large parts of files, computed once for each state of a file.

What was computed lies beside the file, with the size, time of change and inode that it had then. A file that another
has taken the place of, or that was written to, is hashed anew; one that decays on the disk is not noticed, except by
`advss data get`, which reads every byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advss_zoo.errors import AdvssError
from advss_zoo.files import read_json, write_json

SUFFIX = ".sha256"
MOST = 100  # digests that are kept of a file, the last


def remembered(path: Path, part: str, compute: Callable[[], str]) -> str:
    """Return the digest of a part of the file, as `compute` gave it for the same state of the file."""
    stamp, kept = _stamp(path), path.with_name(path.name + SUFFIX)
    known: dict[str, str] = {}
    with suppress(AdvssError, AttributeError, TypeError):  # missing or damaged: then nothing is known
        found = read_json(kept)
        known = dict(found["digests"]) if found.get("stamp") == stamp else {}
    if isinstance(digest := known.get(part), str):
        return digest
    digest = compute()
    if _stamp(path) == stamp:  # else it was written to meanwhile
        with suppress(AdvssError):  # a cache that cannot be written to is read again
            write_json(kept, {"stamp": stamp, "digests": dict([*known.items(), (part, digest)][-MOST:])})
    return digest


def forget(path: Path) -> None:
    """Have all parts of the file hashed anew."""
    with suppress(OSError):  # none is there
        path.with_name(path.name + SUFFIX).unlink()


def of_images(images: NDArray[np.generic], labels: NDArray[np.int64]) -> str:
    """Hash the raw bytes of the images (C order), then of the labels (int64, little-endian), by sha256.

    Of images that are a part of a mapped file it is remembered.
    """
    content = np.ascontiguousarray(labels, dtype="<i8").data

    def compute() -> str:
        digest = hashlib.sha256(np.ascontiguousarray(images).data)
        digest.update(content)
        return digest.hexdigest()

    place = _place(images)
    if place is None:
        return compute()
    path, begin = place
    part = [begin, images.nbytes, hashlib.sha256(content).hexdigest()]
    return remembered(path, json.dumps(part), compute)


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _place(images: NDArray[np.generic]) -> tuple[Path, int] | None:
    """The file that the images are a read-only view of, and their first byte there; None where they are none."""
    if not (isinstance(images, np.memmap) and images.mode == "r" and images.flags.c_contiguous and images.filename):
        return None
    root = images
    while isinstance(root.base, np.memmap):
        root = root.base
    return Path(images.filename), root.offset + images.ctypes.data - root.ctypes.data
