"""Folders of any shape: every image is used or named with a reason, and none is on two sides.

Few folders in every run; `pytest -m nightly tests/data/folder` tries many others.
"""

from __future__ import annotations

import csv
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from data.folder.pictures import encoded, picture
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.names import hidden_as, is_image
from advss_zoo.data.folder.prepared import Prepared, prepare
from advss_zoo.errors import DataError, UsageError

WRAPPERS = ["", "archive/", "a/b/", "images/", "a/Images/"]
PARTS = [
    ("",),
    ("train/", "test/"),
    ("seg_train/seg_train/", "seg_test/", "seg_pred/"),
    ("training_set/training_set/", "test_set/test_set/"),
    ("Train/images/", "valid/", "TEST/", "extra/"),
    ("cars_train/", "cars_test/", "meta/"),
    ("batch_1/", "batch_2/"),
]
CLASSES = ["0", "1", "2", "10", "cat", "Cat", "train", "test_tube", "images", "meta", "été", "a b"]
BELOW = ["", "", "x/", "x/y/", "@eaDir/", ".thumbnails/", "images/"]
FILES = ["1.png", "2.JPG", "p1_a.png", "p1_b.png", "p2_a.png", "._1.png", ".3.png", "notes.txt", "Thumbs.db", "5"]
FORMATS: list[tuple[str, str, dict[str, Any]]] = [  # all without loss
    *(("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("BMP", "RGB", {}), ("PPM", "RGB", {}), ("TIFF", "RGBA", {})),
    *(("TIFF", "RGB", {"compression": "tiff_lzw"}), ("WEBP", "RGBA", {"lossless": True})),
]
DAMAGED = [b"", b"damaged", encoded(picture(0))[:60], encoded(picture(0), "BMP")[:-9]]
ASIDE = ["loose.png", "README.md", "meta/1.png", "@eaDir/1.png/thumb.jpg", "#recycle/cat/1.png", "__MACOSX/._1.png"]


class File(NamedTuple):
    path: str
    seed: int  # of the picture; negative ones are damaged


@st.composite
def trees(draw: st.DrawFn) -> list[File]:
    """Four files of each class, in parts, in wrappers; and others, some of them alike, damaged, or next to all that."""
    wrapper, parts = draw(st.sampled_from(WRAPPERS)), draw(st.sampled_from(PARTS))
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=4, unique=True))
    sound = [f"{wrapper}{parts[0]}{label}/p{number}_.png" for label in classes for number in range(4)]
    place = st.tuples(*map(st.sampled_from, (parts, classes, BELOW, FILES)))
    inside = place.map(lambda each: f"{wrapper}{each[0]}{each[1]}/{each[2]}{each[3]}")
    aside = st.tuples(st.sampled_from(["", wrapper]), st.sampled_from(ASIDE)).map("".join)
    others = [*draw(st.lists(inside, max_size=16)), *draw(st.lists(aside, max_size=2))]
    files = [File(path, 100 + seed) for seed, path in enumerate(sound)]
    seeds = st.integers(-1, 40) | st.integers(100, 100 + len(sound))
    return files + [File(path, draw(seeds)) for path in dict.fromkeys(others) if path not in sound]


def build(root: Path, files: Sequence[File]) -> Path:
    for path, seed in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content(path, seed))
    return root


def content(path: str, seed: int) -> bytes:
    """The same picture for a seed, in a format and mode that depend on the path; so does the damage."""
    draw = zlib.crc32(path.encode())
    if seed < 0:
        return DAMAGED[draw % len(DAMAGED)]
    kind, mode, options = FORMATS[draw % len(FORMATS)]
    return encoded(picture(seed, (2, 2), mode), kind, **options)


def rows(prepared: Prepared, root: Path) -> set[tuple[str, str, str]]:
    """Path in the folder, label and split of each image that is used."""
    with prepared.images_file.open(newline="", encoding="utf-8") as table:
        found = list(csv.DictReader(table))
    return {(Path(row["path"]).relative_to(root).as_posix(), row["label"], row["split"]) for row in found}


def refused(root: Path, options: FolderOptions) -> Prepared | str:
    """What comes of a folder, or why nothing does."""
    try:
        return prepare(root, 8, options)
    except (DataError, UsageError) as error:
        return error.message.replace(str(root), "")


def holds(files: list[File], options: FolderOptions, shuffled: list[File], folder: Path) -> None:
    root, other = build(folder / "one" / "set", files), build(folder / "two" / "set", shuffled)
    prepared = refused(root, options)
    if isinstance(prepared, str):
        event("refused")
        assert refused(other, options) == prepared
        return
    event("divided" if prepared.summary.parts["train"] else "for testing alone")
    used, summary = rows(prepared, root), prepared.summary

    # Every file that is an image by its name is used, or named with a reason, or counted among the hidden.
    every = {Path(place, name).relative_to(root).as_posix() for place, _, names in os.walk(root) for name in names}
    images = {path for path in every if is_image(path)}
    hidden = {path for path in images if any(map(hidden_as, path.split("/")))}
    reasons = {f"/{path}": why for path, why in (summary.skipped | summary.left_out).items()}
    others = images - hidden - {path for path, _, _ in used}
    assert all(any(f"/{path}".endswith(named) and why for named, why in reasons.items()) for path in others)
    assert sum(kind.images for kind in summary.passed_over.values()) == len(hidden)

    # No picture is on two sides, and no group.
    seed_of, sides = {file.path: file.seed for file in files}, dict[object, set[str]]()
    for path, _, split in used:
        sides.setdefault(seed_of[path], set()).add(split)
        if options.group_by and (match := re.search(options.group_by, path)):
            sides.setdefault(match[0], set()).add(split)
    assert all(len(splits) == 1 for splits in sides.values())

    # The same files, written in another order elsewhere, are divided alike.
    again = refused(other, options)
    assert isinstance(again, Prepared)
    assert rows(again, other) == used
    assert again.name == prepared.name
    assert (again.classes, again.summary.origins) == (prepared.classes, summary.origins)


def cases(examples: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


options = st.sampled_from([FolderOptions(), FolderOptions(), FolderOptions(group_by="p[0-9]_")])


@cases(15, derandomize=True)
@given(files=trees(), options=options, data=st.data())
def test_any_folder(
    files: list[File], options: FolderOptions, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    holds(files, options, data.draw(st.permutations(files)), tmp_path_factory.mktemp("any"))


@pytest.mark.nightly
@cases(1_000, derandomize=False)
@given(files=trees(), options=options, data=st.data())
def test_many_folders(
    files: list[File], options: FolderOptions, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    holds(files, options, data.draw(st.permutations(files)), tmp_path_factory.mktemp("many"))
