"""Is a checkpoint what its card says? Its files, its recorded verdicts, and verdicts made anew."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from advss_zoo import resources
from advss_zoo.data.catalogue import CIFAR10, SUBSET
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load_data
from advss_zoo.errors import AdvssError, CheckpointError
from advss_zoo.evaluation import protocols, results
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import Progress, evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import read_json
from advss_zoo.models.model import Model
from advss_zoo.training import release
from advss_zoo.zoo import RESULTS, cards, index, load, sources
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import Reference, parse_reference

SETTINGS = {"name", *(field.name for field in fields(protocols.Settings))}


@dataclass(frozen=True)
class Verification:
    """One thing that was looked at; `passed` is None if it was left out."""

    name: str
    passed: bool | None
    detail: str


def verify(
    reference: Reference | str | Path, *, limit: int | None, device: str, progress: Progress | None = None
) -> Iterator[Verification]:
    """Check a checkpoint of the zoo against its card, any other against the results in its folder; quick checks first.

    Args:
        limit: how many of the first images of each result are evaluated again; None: all of them.

    Raises:
        UsageError: there is no such checkpoint.
        DataError: a result is to be made again on images that are not on this machine.
    """
    reference = parse_reference(reference)
    entry = index.find(reference.text) if reference.kind == "zoo" else None
    try:
        fetched = sources.fetch(reference)
        load.check(fetched.path)
    except AdvssError as error:
        yield Verification("weights", False, error.message)
        return
    yield Verification("weights", True, f"sha256 {fetched.sha256}")
    if entry:
        yield _card(entry, fetched.path)
        said = [Result.from_dict(document) for document in entry.results]  # a trunk has none
        recorded = {fetched.path / RESULTS / result.slug(): result for result in said}
    else:
        found = sorted((fetched.path / RESULTS).glob(f"*/{results.RESULT_FILE}"))
        recorded = {path.parent: Result.read(path) for path in found}
    model = open_model(reference, device) if recorded else None
    for folder, result in recorded.items():
        yield (stored := _recorded(folder, result, fetched.sha256))
        if stored.passed and model:  # else there is nothing to compare with
            yield _again(model, folder, result, limit, device, progress)


def check_card(entry: Entry, folder: Path) -> None:
    """Check that a card is what its JSON gives, and that this is what the checkpoint's files and other cards say.

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


def _recorded(folder: Path, recorded: Result, sha256: str) -> Verification:
    """Do the stored verdicts give the recorded numbers, and are they of these weights?"""
    try:
        same = results.check(folder / results.RESULT_FILE) == recorded and recorded.model.sha256 == sha256
    except AdvssError as error:
        return Verification(_label(recorded), False, error.message)
    return Verification(
        _label(recorded), same, "the stored verdicts give these numbers" if same else "other numbers, or other weights"
    )


def _again(
    model: Model, folder: Path, recorded: Result, limit: int | None, device: str, progress: Progress | None
) -> Verification:
    """Does attacking the model again give the stored verdicts?"""
    if limit is not None and recorded.protocol.attacks:
        return Verification(
            _label(recorded), None, "several attacks, which take hours, are made again with --full alone"
        )
    images = _images(recorded, limit)
    settings = {key: value for key, value in recorded.protocol.to_dict().items() if key in SETTINGS}
    fresh = evaluate(model, images, protocols.parse(**settings), device=device, progress=progress).verdicts
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
