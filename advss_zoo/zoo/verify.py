"""Is a checkpoint what its card says? Its files, its recorded verdicts, and verdicts made anew."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from advss_zoo import resources
from advss_zoo.data.catalogue import CIFAR10, SUBSET
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load as load_data
from advss_zoo.errors import AdvssError, CheckpointError
from advss_zoo.evaluation import protocols, results
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import Progress, Subject, evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import read_json
from advss_zoo.training import release
from advss_zoo.zoo import RESULTS, cards, checkpoint, index, load, sources
from advss_zoo.zoo.index import Entry

SETTINGS = {"name", *(field.name for field in fields(protocols.Settings))}


@dataclass(frozen=True)
class Verification:
    """One thing that was looked at; `passed` is None if it was left out."""

    name: str
    passed: bool | None
    detail: str


def verify(name: str, *, limit: int | None, device: str, progress: Progress | None = None) -> Iterator[Verification]:
    """Check after check, the quick ones first.

    Args:
        limit: how many of the first images of each result are evaluated again; None: all of them.

    Raises:
        UsageError: there is no such checkpoint.
        DataError: a result is to be made again on images that are not on this machine.
    """
    entry = index.find(name)
    try:
        fetched = sources.fetch(entry.full_name)
        if entry.kind == "trunk":
            checkpoint.load(fetched.path)
        else:
            loaded = load.from_path(fetched.path, device=device)
    except AdvssError as error:
        yield Verification("weights", False, error.message)
        return
    yield Verification("weights", True, f"sha256 {fetched.sha256}")
    yield _card(entry, fetched.path)
    for document in entry.results:  # a trunk has none
        recorded = Result.from_dict(document)
        folder = fetched.path / RESULTS / recorded.slug()
        yield (stored := _recorded(folder, recorded))
        if stored.passed:  # else there is nothing to compare with
            yield _again(loaded, folder, recorded, limit, device, progress)


def check_card(entry: Entry, folder: Path) -> None:
    """Is a card what its JSON gives, and that what the checkpoint's files and the cards of others say?

    The results are another matter (`results.check`). Of the validation no verdicts are kept.

    Raises:
        AdvssError: it is not.
    """
    path = resources.folder("cards") / f"{entry.full_name}.json"
    values, found = read_json(path), release.facts(folder)
    control, said = values["control"], values | values["training"]
    found |= found.pop("training") | {"control": release.control_of(control and control["name"])}
    for key, value in found.items():
        if said.get(key) != value:
            raise CheckpointError(
                f"The card of {entry.full_name} says {key} = {reprlib.repr(said.get(key))}, but its files and the "
                f"cards of others give {reprlib.repr(value)}."
            )
    if cards.render(values) != index.card(entry.full_name):
        raise CheckpointError(
            f"The card of {entry.full_name} is not what {path} gives.", "Run `python -m advss_zoo.zoo.cards`."
        )


def _card(entry: Entry, folder: Path) -> Verification:
    try:
        check_card(entry, folder)
    except AdvssError as error:
        return Verification("card", False, error.message)
    return Verification("card", True, "is what its JSON gives, and that what the files and other cards say")


def _recorded(folder: Path, recorded: Result) -> Verification:
    """Do the stored verdicts give the numbers of the card?"""
    try:
        same = results.check(folder / results.RESULT_FILE) == recorded
    except AdvssError as error:
        return Verification(_label(recorded), False, error.message)
    return Verification(
        _label(recorded), same, "the stored verdicts give the card's numbers" if same else "the card has other numbers"
    )


def _again(
    loaded: load.Loaded, folder: Path, recorded: Result, limit: int | None, device: str, progress: Progress | None
) -> Verification:
    """Does attacking the model again give the stored verdicts?"""
    if limit is not None and recorded.protocol.attacks:
        return Verification(
            _label(recorded), None, "several attacks, which take hours, are made again with --full alone"
        )
    images = _images(recorded, limit)
    settings = {key: value for key, value in recorded.protocol.to_dict().items() if key in SETTINGS}
    protocol, subject = protocols.parse(**settings), Subject(loaded.full_name, loaded.sha256)
    fresh = evaluate(loaded.model, images, protocol, device=device, progress=progress, subject=subject).verdicts
    same = fresh.agreement(Verdicts.read(folder / results.VERDICTS_FILE))
    return Verification(_label(recorded), same == len(images), f"{same:,} of {len(images):,} verdicts made again agree")


def _images(recorded: Result, limit: int | None) -> ImageSet:
    """The first images of a result; those of CIFAR-10 up to the thousandth ship with the package."""
    count = recorded.n if limit is None else min(limit, recorded.n)
    name, split = recorded.data.name, recorded.data.split
    bundled = name == CIFAR10.name and split == "test" and count <= 1000
    return load_data(SUBSET if bundled else name, "train" if split == "train" else "test").first(count)


def _label(recorded: Result) -> str:
    return f"{recorded.protocol.label} on {recorded.data.name}"
