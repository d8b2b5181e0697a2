"""One look at every file: its pixels, all of one size, go into a file; what is wrong with others is noted.

Work that was stopped goes on where it was: beside the pixels lies a journal, a line a file.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias

from advss_zoo.data.cache import check_space
from advss_zoo.data.folder import decoding
from advss_zoo.data.folder.decoding import Decoded, Facts
from advss_zoo.data.folder.listing import ListedImage, Listing
from advss_zoo.data.folder.names import printable
from advss_zoo.files import explained
from advss_zoo.progress import Reporter

PIECE = 256  # files between two entries in the journal: what a kill can cost
MOST_THREADS = 8  # each may hold an image of 89 million pixels

Decode: TypeAlias = Callable[[Path, int], Decoded | str]


class Seen(NamedTuple):
    """An image, what its file is, and which of the pixels are its own."""

    entry: ListedImage
    facts: Facts
    row: int


@dataclass(frozen=True)
class Scan:
    """The images of a listing in its order, in a file of uint8 (N, 3, side, side); why others are none, by path."""

    seen: list[Seen]
    broken: dict[str, str]
    pixels: Path
    side: int


def bytes_of(side: int) -> int:
    """Return the bytes of an image."""
    return 3 * side * side


def scan(
    listing: Listing,
    side: int,
    pixels: Path,
    reporter: Reporter,
    decode: Decode = decoding.read,
    *,
    begin: int = 0,
    copies: int = 2,
) -> Scan:
    """Decode all images of a listing, each once.

    Args:
        side: pixels a side that they are brought to.
        pixels: the file to fill, from byte `begin` on; its journal lies beside it.
        decode: the pixels (3, side, side) of a file and what it is, or why it cannot be read.
        copies: how often the images will be on the disk: twice where they are then put in order.

    Raises:
        AdvssError: the disk is full.
    """
    journal, entries = _journal(pixels), listing.entries
    done = _progress_so_far(listing, side, pixels, begin)
    good = sum(isinstance(record, Facts) for record in done)
    check_space(pixels, (copies * len(entries) - good) * bytes_of(side))
    with (
        explained("write", pixels),
        pixels.open("r+b" if done else "wb") as file,
        journal.open("wb") as notes,
        _threads() as pool,
        warnings.catch_warnings(action="ignore"),  # Pillow's, about files that are named anyway
    ):
        notes.writelines(map(_line, [[listing.key, side], *done]))  # anew: a kill may have cut the last line
        _flush(notes)
        file.seek(begin + good * bytes_of(side))
        file.truncate()
        reporter.progress("Reading images", "images", len(done), len(entries), "")
        for first in range(len(done), len(entries), PIECE):
            piece = entries[first : first + PIECE]
            lines = []
            for found in pool.map(lambda entry: decode(listing.root / entry.path, side), piece):
                if not isinstance(found, str):
                    file.write(found[0].data)
                done.append(found if isinstance(found, str) else found[1])
                lines.append(_line(done[-1]))
            _flush(file)
            notes.write(b"".join(lines))
            _flush(notes)
            reporter.progress("Reading images", "images", len(done), len(entries), "")
    return _result(entries, done, pixels, side)


def again(found: Scan, listing: Listing, images: Sequence[Seen], reporter: Reporter, decode: Decode) -> Scan:
    """Decode some of the images anew, in another way, and put them where they were."""
    seen = list(found.seen)
    with (
        explained("write", found.pixels),
        found.pixels.open("r+b") as file,
        _threads() as pool,
        warnings.catch_warnings(action="ignore"),
    ):
        for first in range(0, len(images), PIECE):
            piece = images[first : first + PIECE]
            results = pool.map(lambda each: decode(listing.root / each.entry.path, found.side), piece)
            for each, result in zip(piece, results, strict=True):
                if not isinstance(result, str):  # it has gone meanwhile: as it was read before, then
                    file.seek(each.row * bytes_of(found.side))
                    file.write(result[0].data)
                    seen[each.row] = each._replace(facts=result[1])
            reporter.progress("Scaling values", "images", first + len(piece), len(images), "")
    return replace(found, seen=seen)


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))


def forget(pixels: Path) -> None:
    """Delete what `scan` left."""
    for path in (pixels, _journal(pixels)):
        path.unlink(missing_ok=True)


def _result(entries: list[ListedImage], done: list[Facts | str], pixels: Path, side: int) -> Scan:
    seen: list[Seen] = []
    broken: dict[str, str] = {}
    for entry, found in zip(entries, done, strict=True):
        if isinstance(found, str):
            broken[printable(entry.path)] = found
        else:
            seen.append(Seen(entry, found, len(seen)))
    return Scan(seen, broken, pixels, side)


def _progress_so_far(listing: Listing, side: int, pixels: Path, begin: int) -> list[Facts | str]:
    """What a stopped run wrote down of the first files of this listing; nothing where it worked on another."""
    journal = _journal(pixels)
    if not (journal.exists() and pixels.exists()):
        return []
    with explained("read", journal), journal.open("rb") as lines:
        if next(lines, b"") != _line([listing.key, side]):
            return []
        done = [_record(line) for line in lines if line.endswith(b"\n")]
    written = (pixels.stat().st_size - begin) // bytes_of(side)
    return done if sum(isinstance(record, Facts) for record in done) <= written else []


def _line(record: object) -> bytes:
    return json.dumps(record, default=bytes.hex).encode() + b"\n"


def _record(line: bytes) -> Facts | str:
    record = json.loads(line)
    if isinstance(record, str):
        return record
    sha256, likeness, *facts = record
    return Facts(bytes.fromhex(sha256), bytes.fromhex(likeness), *facts)


def _journal(pixels: Path) -> Path:
    return pixels.with_suffix(".journal")


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
