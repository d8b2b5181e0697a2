"""Which files are meant by paths, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from advss_zoo.data.folder.names import hidden_as, is_image
from advss_zoo.data.folder.walking import PassedOver, walk
from advss_zoo.errors import UsageError

PATTERN = frozenset("*?[")
HINT = "Give an image, a folder of images, or a pattern like '*.jpg'."


@dataclass(frozen=True)
class ImageFiles:
    """Files that are to be images, folders that cannot be read, with the reason, and what systems left there."""

    files: list[Path] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)
    passed_over: PassedOver = field(default_factory=PassedOver)


def find(arguments: Iterable[str]) -> ImageFiles:
    """List the files that are meant, each once: files, all images in folders however deep, what patterns match.

    Raises:
        UsageError: nothing of that name is there, or nothing in it is an image.
    """
    found = ImageFiles()
    for argument in arguments:
        before = len(found.files) + len(found.broken)
        for path in _paths(argument, found):
            if path.is_dir():
                _add_folder(path, found)
            else:
                found.files.append(path)
        if len(found.files) + len(found.broken) == before:
            raise UsageError(f"{argument} contains no images.", HINT)
    return replace(found, files=list(dict.fromkeys(found.files)))


def _paths(argument: str, found: ImageFiles) -> list[Path]:
    """What is there under this name; else what it matches as a pattern, system files only where it names them."""
    if "\0" not in argument and os.path.lexists(argument):
        return [Path(argument)]
    matches = glob.glob(argument, recursive=True) if PATTERN & set(argument) else []  # noqa: PTH207  may be absolute
    if not matches:
        raise UsageError(f"{argument!r} does not exist, and no file matches it.", HINT)
    shown = []
    for path in sorted(map(Path, matches)):
        hidden = [place for place in (path, *path.parents) if hidden_as(place.name) and place.name not in argument]
        if hidden:
            found.passed_over.add(hidden[-1].parent, [hidden[-1].name])
        else:
            shown.append(path)
    return shown


def _add_folder(top: Path, found: ImageFiles) -> None:
    def refused(error: OSError) -> None:
        found.broken[Path(error.filename)] = error.strerror or str(error)

    for place, contents in walk(top, refused):
        found.passed_over.add(place, contents.hidden)
        found.files.extend(place / name for name in contents.files if is_image(name))
