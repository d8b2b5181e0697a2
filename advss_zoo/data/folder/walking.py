"""What lies in folders, without what systems and other programs leave there, which is counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from advss_zoo.data.folder.names import hidden_as, is_image, printable
from advss_zoo.progress import ignore


class Contents(NamedTuple):
    """The names of folders and of all else in a folder, sorted; `hidden` are nobody's images."""

    folders: list[str]
    files: list[str]
    hidden: list[str]


class Hidden(NamedTuple):
    """System files and folders of one kind: how many there are, how many images are in them, and the first of them."""

    places: int
    images: int
    first: str


@dataclass
class PassedOver:
    """Images in hidden files and folders, by path and by kind, such as "@eaDir"."""

    found: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, folder: Path, names: list[str]) -> None:
        """Count hidden files and folders in a folder, and the images in them."""
        for name in names:
            paths = self.found.setdefault(hidden_as(name) or name, {})
            paths[printable(str(folder / name))] = _images_in(folder / name)

    def update(self, more: PassedOver) -> None:
        for kind, paths in more.found.items():
            self.found.setdefault(kind, {}).update(paths)

    @property
    def kinds(self) -> dict[str, Hidden]:
        return {kind: Hidden(len(paths), sum(paths.values()), next(iter(paths))) for kind, paths in self.found.items()}


def describe(kinds: Mapping[str, Hidden]) -> str | None:
    """Say how many images are passed over, and where; None where there are none."""
    places = ", ".join(f"{each.images:,} in {kind}" for kind, each in kinds.items() if each.images)
    return f"Images in system and hidden files passed over: {places}." if places else None


def contents(folder: Path) -> Contents:
    """List a folder.

    Raises:
        OSError: it cannot be read.
    """
    found = Contents([], [], [])
    with os.scandir(folder) as items:
        for item in items:
            names = found.hidden if hidden_as(item.name) else found.folders if _is_folder(item) else found.files
            names.append(item.name)
    for names in found:
        names.sort()
    return found


def walk(top: Path, refused: Callable[[OSError], object] = ignore) -> Iterator[tuple[Path, Contents]]:
    """Go through a folder and all below it, each once; links are followed, hidden folders are not entered.

    Args:
        refused: called with the error where a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(top, onerror=refused, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        hidden = sorted(name for name in (*folders, *files) if hidden_as(name))
        folders[:] = sorted(name for name in folders if not hidden_as(name))
        yield Path(place), Contents(folders, sorted(name for name in files if not hidden_as(name)), hidden)


def _images_in(path: Path) -> int:
    """Count the images by name below a hidden folder, or 1 for such a file; links are not followed."""
    try:
        is_folder = path.is_dir() and not path.is_symlink()
    except OSError:  # where one may not look
        is_folder = False
    if not is_folder:
        return int(is_image(path.name))
    return sum(is_image(name) for _, _, files in os.walk(path) for name in files)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads back to itself, or to where one may not look
        return False
