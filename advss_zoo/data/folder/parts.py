"""Which folders are for training, validation and testing, by their names or by what a person says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from advss_zoo.data.folder.names import is_image
from advss_zoo.data.folder.walking import contents
from advss_zoo.errors import DataError, UsageError
from advss_zoo.texts import listed

Part = Literal["train", "val", "test"]
Purpose = Literal["train", "val", "test", "unlabelled"]

PURPOSES: Mapping[str, Purpose] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("pred", "predict", "prediction", "unlabelled", "unlabeled"), "unlabelled"),
}
"""Words in the names of folders, and entries of tables, that say what images are for; in any case."""
FILLERS = frozenset(
    (
        *("set", "sets", "data", "dataset", "datasets", "images", "image", "imgs", "img", "pictures", "photos"),
        *("jpg", "jpeg", "png", "files", "split"),
    )
)
"""Words that say no more than that images are here."""
ASIDE = frozenset(
    (
        *("meta", "metadata", "annotation", "annotations", "annots", "label", "labels", "list", "lists"),
        *("mask", "masks", "segmentation", "segmentations", "trimaps", "doc", "docs", "devkit", "xml", "json", "csv"),
        *("splits", "attributes", "parts"),
    )
)
"""Words for what lies next to a folder of images and is about them."""
DEEPEST = 8  # folders of the same name in each other, which a link may make endless
SHOWN = 5  # names that a sentence lists before it says how many more there are
SAY = "say which is which: --parts train=FOLDER,test=FOLDER"


class FolderName(NamedTuple):
    """What a folder's name says that it is for, and the words that say something else."""

    purpose: Purpose
    rest: tuple[str, ...]


def purpose_of(name: str) -> FolderName | None:
    """Read seg_train, training_set or TestImages as what images are for; None where a name says nothing of it."""
    words = [_unglued(word) for word in _words(name)]
    said = {PURPOSES[word] for word in words if word in PURPOSES}
    if len(said) != 1:
        return None
    return FolderName(said.pop(), tuple(word for word in words if word not in PURPOSES and word not in FILLERS))


def says_only(name: str, words: Iterable[str]) -> bool:
    """Tell whether a name consists of some of these words alone."""
    found = _words(name)
    return bool(found) and set(found) <= set(words)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)  # JPEGImages
    return [word.lower() for word in re.findall(r"\d+|[^\W\d_]+", apart)]


def _unglued(word: str) -> str:
    """trainset, testdata: the first half."""
    first = re.sub("(?:" + "|".join(sorted(FILLERS, key=len, reverse=True)) + ")$", "", word)
    return first if first in PURPOSES else word


def recognised(root: Path, folders: Sequence[str]) -> dict[str, Purpose]:
    """Tell which folders are parts: train with others whose names differ from its own in that word alone.

    Nothing where they are classes: "train" beside "car" and "bus", or "bullet_train" beside "test_tube". Numbers count
    for nothing where no others fit: train2017 and val2017 are parts, and so are 01_train and 02_test.

    Raises:
        DataError: two folders are the same part, or there are several sets of parts.
    """
    sets = _sets(root, folders, numbered=True) or _sets(root, folders, numbered=False)
    if not sets:
        return {}
    named = [name for each in sets for name, purpose in each.items() if purpose != "unlabelled"]
    divided = [name for name in named if contents(root / name).folders]
    if len(sets) > 1 and not divided:
        raise DataError(
            f"The folders {listed(named, SHOWN)} in {root} name both classes and splits.",
            "Put their images into train/CLASS and test/CLASS, or write a CSV of path,label,split.",
        )
    if len(sets) > 1 or len({sets[0][name] for name in divided}) < len(divided):
        names = ", ".join(divided)
        raise DataError(f"Two of the folders {names} in {root} are the same split.", f"Keep one of them, or {SAY}.")
    return sets[0]


def _sets(root: Path, folders: Sequence[str], *, numbered: bool) -> list[dict[str, Purpose]]:
    """Parts whose names differ in the word for it alone, or else, if not `numbered`, in numbers too."""
    alike: dict[tuple[str, ...], dict[str, Purpose]] = defaultdict(dict)
    for name in folders:
        if found := purpose_of(name):
            alike[tuple(word for word in found.rest if numbered or not word.isdigit())][name] = found.purpose
    return [
        named
        for rest, named in alike.items()
        if _are_parts(root, len(folders), named, several=bool(rest) or not numbered)
    ]


def _are_parts(root: Path, folders: int, named: Mapping[str, Purpose], *, several: bool) -> bool:
    purposes = set(named.values())
    if several:
        return "train" in purposes and len(purposes) > 1
    divided = any(contents(root / name).folders for name in named)
    return purposes != {"unlabelled"} and (len(named) == folders or ("train" in purposes and divided))


def as_said(roots: Sequence[Path], parts: Mapping[str, Part]) -> tuple[Path, dict[str, Purpose]]:
    """Return the first of the roots that has all folders that are named as parts, and them.

    Raises:
        UsageError: none has.
    """
    for root in roots:
        if all((root / name).is_dir() for name in parts):
            return root, {name.strip("/"): part for name, part in parts.items()}
    missing = next(name for name in parts if not (roots[0] / name).is_dir())
    there = listed(contents(roots[0]).folders, 10) or "none"
    raise UsageError(f"--parts names {missing!r}, which is not a folder in {roots[0]}.", f"Its folders: {there}.")


def image_folder(folder: Path) -> str:
    """Return the one folder in it that says only that images are there, beside others about them; or "".

    As in images/ beside meta/ (Food-101), or Images/ beside Annotation/ and Lists/ (Stanford Dogs).
    """
    folders, files, _ = contents(folder)
    named = [name for name in folders if says_only(name, FILLERS)]
    beside = [name for name in folders if says_only(name, ASIDE | FILLERS) and name not in named]
    fits = len(named) == 1 and beside and len(beside) + 1 == len(folders) and not any(map(is_image, files))
    return named[0] if fits else ""


def inner(root: Path, name: str) -> str:
    """Return the folder that holds the classes of a part: seg_train/seg_train, train/images."""
    for _ in range(DEEPEST):
        folders, files, _ = contents(root / name)
        only = folders[0] if len(folders) == 1 and not any(map(is_image, files)) else ""
        repeated = only.lower() == name.rpartition("/")[2].lower() or says_only(only, {*FILLERS, *PURPOSES})
        below = only if only and repeated else image_folder(root / name)
        if not below:
            break
        name = f"{name}/{below}"
    return name


def parse_parts(text: str) -> dict[str, Part]:
    """Read `train=seg_train,test=seg_test` as folders, or entries of a table's column, by what they are for.

    Raises:
        UsageError: it is of another form.
    """
    found: dict[str, Part] = {}
    for piece in text.split(","):
        part, equals, name = (each.strip() for each in piece.partition("="))
        if part not in ("train", "val", "test") or not equals or not name:
            raise UsageError(f"--parts has {piece!r}, expected PART=FOLDER.", "PART is train, val or test.")
        found[name] = part  # type: ignore[assignment]  # one of the three
    return found
