"""Which files are meant by paths, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from advss_zoo.data.folder.names import is_image
from advss_zoo.errors import UsageError

PATTERN = frozenset("*?[")
HINT = "Give an image, a folder of images, or a pattern like '*.jpg'."


@dataclass(frozen=True)
class ImageFiles:
    """Files that are to be images, and folders that cannot be read, with the reason."""

    files: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)


def find(arguments: Iterable[str]) -> ImageFiles:
    """List the files that are meant, each once: files, all images in folders however deep, what patterns match.

    Raises:
        UsageError: nothing of that name is there, or nothing in it is an image.
    """
    found = ImageFiles()
    for argument in arguments:
        before = len(found.files) + len(found.broken)
        for path in _paths(argument):
            if path.is_dir():
                _add_folder(path, found)
            else:
                found.files.append(path)
        if len(found.files) + len(found.broken) == before:
            raise UsageError(f"{argument} contains no images.", HINT)
    return ImageFiles(list(dict.fromkeys(found.files)), found.broken)


def _paths(argument: str) -> list[Path]:
    """What is there under this name; else what it matches as a pattern."""
    if "\0" not in argument and os.path.lexists(argument):
        return [Path(argument)]
    matches = glob.glob(argument, recursive=True) if PATTERN & set(argument) else []  # noqa: PTH207  may be absolute
    if not matches:
        raise UsageError(f"{argument!r} does not exist, and no file matches it.", HINT)
    return sorted(map(Path, matches))


def _add_folder(top: Path, found: ImageFiles) -> None:
    """Links are followed, each folder once."""
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        found.broken[Path(error.filename)] = error.strerror or str(error)

    for place, folders, files in os.walk(top, onerror=refused, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = sorted(name for name in files if is_image(name) and not name.startswith("."))
        found.files.extend(Path(place, name) for name in shown)
