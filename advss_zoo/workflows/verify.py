"""Is a checkpoint what its card says? Its files, its recorded verdicts, and verdicts made anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from advss_zoo.data.catalogue import CIFAR10, SUBSET
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load_data
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import protocols, results
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import Progress as Progressed
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.devices import pick_device
from advss_zoo.models.model import Model
from advss_zoo.progress import Progress, ignore
from advss_zoo.zoo import RESULTS, index, load, sources
from advss_zoo.zoo.facts import check_card
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import Reference, parse_reference


@dataclass(frozen=True)
class Verification:
    """One thing that was looked at; `passed` is None if it was left out."""

    name: str
    passed: bool | None
    detail: str


def verify(
    reference: Reference | str | Path,
    limit: int = 128,
    full: bool = False,
    *,
    device: str = "auto",
    progress: Progress = ignore,
) -> Iterator[Verification]:
    """Check a checkpoint of the zoo against its card, any other against the results in its folder; quick checks first.

    Args:
        reference: a checkpoint, as `load_model` takes it.
        limit: how many of the first images of each result are evaluated again.
        full: evaluate all of them, and the protocols of several attacks, which take hours.
        device: where to compute; "auto" is a GPU if there is one.
        progress: called with "Verifying NAME", "images", the images done, their number, and a note, for each result.

    Returns:
        An iterator that makes one check after the other.

    Raises:
        UsageError: there is no such checkpoint.
        DataError: a result is to be made again on images that are not on this machine.
    """
    if limit < 1:
        raise UsageError(f"limit must be at least 1, got {limit}.")
    told = partial(progress, f"Verifying {reference}", "images")
    return _checks(parse_reference(reference), None if full else limit, pick_device(device), told)


def _checks(reference: Reference, limit: int | None, device: str, progress: Progressed) -> Iterator[Verification]:
    entry = index.find(reference.text) if reference.kind == "zoo" else None
    try:
        fetched = sources.fetch(reference)
        load.check(fetched.path)
    except UsageError:  # what is not a checkpoint has no card to differ from
        raise
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


def _card(entry: Entry, folder: Path) -> Verification:
    try:
        check_card(entry, folder)
    except AdvssError as error:
        return Verification("card", False, error.message)
    return Verification("card", True, "matches its JSON, the files and the other cards")


def _recorded(folder: Path, recorded: Result, sha256: str) -> Verification:
    """Do the stored verdicts give the recorded numbers, and are they of these weights?"""
    try:
        same = results.check(folder / results.RESULT_FILE) == recorded and recorded.model.sha256 == sha256
    except AdvssError as error:
        return Verification(_label(recorded), False, error.message)
    return Verification(
        _label(recorded),
        same,
        "the numbers match the stored verdicts" if same else "the numbers or weights differ from the stored verdicts",
    )


def _again(
    model: Model, folder: Path, recorded: Result, limit: int | None, device: str, progress: Progressed
) -> Verification:
    """Does attacking the model again give the stored verdicts?"""
    if limit is not None and recorded.protocol.attacks:
        return Verification(_label(recorded), None, "skipped: several attacks take hours; use --full")
    images = _images(recorded, limit)
    protocol = protocols.recorded(recorded.protocol)
    fresh = evaluate(model, images, protocol, device=device, progress=progress, eot=recorded.protocol.eot).verdicts
    same = fresh.agreement(Verdicts.read(folder / results.VERDICTS_FILE))
    return Verification(_label(recorded), same == len(images), f"{same:,} of {len(images):,} new verdicts agree")


def _images(recorded: Result, limit: int | None) -> ImageSet:
    """The first images of a result; those of CIFAR-10 up to the thousandth ship with the package."""
    count = recorded.n if limit is None else min(limit, recorded.n)
    name, split = recorded.data.name, recorded.data.split
    bundled = name == CIFAR10.name and split == "test" and count <= 1000
    return load_data(SUBSET if bundled else name, "train" if split == "train" else "test").first(count)


def _label(recorded: Result) -> str:
    return f"{recorded.protocol.label} on {recorded.data.name}"
