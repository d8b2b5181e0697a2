"""Files: written whole or not at all, compared by sha256, kept in one cache folder; how those of tensors begin."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from advss_zoo import documents
from advss_zoo.errors import AdvssError

ITEM_BYTES = {"U8": 1, "F32": 4, "I64": 8}  # by safetensors' names of types


def cache_folder() -> Path:
    """Return where data sets and pulled checkpoints are kept: $ADVSS_CACHE, else ~/.cache/advss-zoo (XDG respected).

    Raises:
        AdvssError: it is in a home folder that is unknown.
    """
    if folder := os.environ.get("ADVSS_CACHE"):
        return expanded(folder)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "advss-zoo"


def expanded(path: str) -> Path:
    """Return a path with the folder that a leading `~` or `~user` stands for.

    Raises:
        AdvssError: that folder is unknown, as in a container whose user has neither HOME nor an entry in passwd.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        named = Path(path).parts[0] != "~"
        reason = "no user has that name" if named else "HOME is not set, and this user has no entry in passwd"
        hint = None if named else "Set HOME to a folder; for the cache alone set ADVSS_CACHE."
        raise AdvssError(f"The home folder in {path} is unknown: {reason}.", hint) from error


POINTER = b"version https://git-lfs.github.com/spec/"  # what Git LFS leaves in the place of a file


# Of names that are made of other names: a folder of results and what is in it are a path of 200 at most.
LONGEST_NAME = 175


def slug(label: str) -> str:
    """Return a label as the name of a folder: "pgd20 (l2, eps 0.5)" as pgd20-l2-eps-0.5.

    What cannot be spelled like that has a digest behind it, so that labels in other scripts differ, too.
    """
    name = re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.")
    told = name and label.isascii()
    return _shortened(name if told else f"{name}-{_digest(label)[:8]}".strip("-"))


def file_name(text: str) -> str:
    """Turn a text into a safe file name: what a person may have named a model never becomes a path."""
    return _shortened(re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip(".-") or "model")


def _shortened(name: str) -> str:
    """A name that is too long, as its beginning and what tells it from others that begin alike."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 17]}-{_digest(name)[:16]}"


def _digest(text: str) -> str:
    """Names of files may be no text that can be encoded."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (full disk, read-only folder, ...) into a sentence naming `path`."""
    try:
        yield
    except OSError as error:
        raise refusal(action, path, error) from error


def refusal(action: str, path: Path, error: OSError) -> AdvssError:
    """Return what a refusal of the operating system means, and what can be done about it."""
    hints = {
        errno.ENOSPC: "Free some space and run the same command again.",
        errno.EROFS: "Choose another folder; set ADVSS_CACHE to move the cache.",
        errno.EACCES: "Choose another folder; set ADVSS_CACHE to move the cache.",
        errno.ENOLCK: "Choose a folder on a disk of this machine.",
    }
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AdvssError(f"Cannot {action} {path}: {reason}.", hints.get(error.errno or 0))


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk and put it in place in one rename.

    A reader, or a run resumed after a kill, finds the old file or the new one, never a part.

    Raises:
        AdvssError: the disk is full or the folder cannot be written to; `path` is then as it was.
    """
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; what we publish is as readable as any new file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_leftovers(folder: Path, *names: str) -> None:
    """Delete what `write_atomically` had begun of the files of these names in `folder` when it was killed.

    Only of these: the folder may be one that holds other people's files, too.
    """
    for name in names:
        for leftover in folder.glob(f".{glob.escape(name)}.*.part"):
            leftover.unlink(missing_ok=True)


@contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock at `path`, and tell whether that was possible: not where another process holds it.

    Args:
        wait: until no other process holds it.

    Raises:
        AdvssError: files in this folder cannot be locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with explained("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(timeout=-1 if wait else 0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def ignore_missing() -> Iterator[None]:
    """Pass over the reading of a file that is not there, or is no longer: other processes may delete it."""
    try:
        yield
    except AdvssError as error:
        if not isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave what was there; arguments and errors are those of `write_atomically`."""
    write_atomically(path, lambda file: file.write(content))


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, _json(value))


def plain(value: Any) -> Any:
    """Return the value as `write_json` and `read_json` leave it: lists for tuples, and only text that can be
    encoded.
    """
    return json.loads(_json(value))


def _json(value: Any) -> bytes:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Commands and data sets may be named after files whose names are not valid UTF-8: "?" stands for each such byte.
    return text.encode(errors="replace")


def read_json(path: Path) -> Any:
    """Read a JSON file of plain data.

    Raises:
        AdvssError: the file cannot be read, or is not JSON of a sensible size.
    """
    content = read_bytes(path, documents.MOST_BYTES)
    try:
        return documents.from_json(content)
    except ValueError as error:
        raise AdvssError(f"{path} is not valid JSON: {error}.") from error


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a file that others may have written.

    Raises:
        AdvssError: it cannot be read, or has more bytes than any such file needs.
    """
    with explained("read", path), path.open("rb") as file:
        content = file.read(most + 1)
    check_not_pointer(path, content)
    if len(content) > most:
        raise AdvssError(f"{path} exceeds the limit of {most:,} bytes.")
    return content


def check_not_pointer(path: Path, start: bytes | None = None) -> None:
    """Check that a file is not what Git LFS left in its place.

    Args:
        start: the first bytes of the file, if they have been read.

    Raises:
        AdvssError: it is.
    """
    if start is None:
        with explained("read", path), path.open("rb") as file:
            start = file.read(len(POINTER))
    if start.startswith(POINTER):
        raise AdvssError(f"{path} is a Git LFS pointer, not the file.", "Run `git lfs pull` in its repository.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def tensors_header(
    tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str] | None = None, size: int | None = None
) -> bytes:
    """Return how a safetensors file begins that then holds these tensors, one after the other.

    Args:
        tensors: by name, the type (a key of `ITEM_BYTES`) and the shape.
        size: of the header, in bytes; None: as it needs.
    """
    entries: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    begin = 0
    for name, (kind, shape) in tensors.items():
        end = begin + ITEM_BYTES[kind] * math.prod(shape)
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries).encode()
    length = -(-len(text) // 8) * 8 if size is None else size - 8
    return length.to_bytes(8, "little") + text.ljust(length)
