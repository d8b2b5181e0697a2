"""What was measured of our checkpoints: on their cards, or in what `advss eval` left. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from statistics import fmean
from typing import Any

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.data import catalogue
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.protocols import expand
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result
from advss_zoo.evaluation.schema import TransferRates
from advss_zoo.evaluation.statistics import Estimate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.report import paper
from advss_zoo.zoo import RESULTS, checkpoint, ensembles, index, sources
from advss_zoo.zoo.checkpoint import CONFIG
from advss_zoo.zoo.ensembles import combined_sha256
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.runs import ENSEMBLE, LAST

PROTOCOL, TRANSFER, UNFORESEEN = "pgd20", "transfer", "unforeseen"
DATA = (catalogue.CIFAR10.name, catalogue.SUBSET)  # the second is the first 1,000 images of the first
TEST_IMAGES = 10_000
PICKS = ("best-ta", "best-ra")  # the weights of a run that validation picks


def members(full_name: str) -> list[str]:
    """The full names of what an ensemble of the paper is made of; of any other checkpoint, none."""
    name, _, tag = full_name.partition(".")
    return [f"{member}.{tag}" for member in paper.ensembles().get(name, ())]


def zoo_entry(full_name: str) -> Entry | None:
    """What the zoo has under exactly this name."""
    return next((entry for entry in index.entries() if entry.full_name == full_name), None)


@dataclass(frozen=True)
class Measurement:
    """TA and RA of one set of weights; `picked` and `epochs` are None where nothing says how the weights were made."""

    name: str
    result: Result
    folder: Path  # where the result and, if they are on this machine, the verdicts lie
    picked: str | None = None
    epochs: float | None = None
    shipped: bool = False  # are these the weights of the run that the checkpoint ships?

    @property
    def pick(self) -> str | None:
        """Which weights these are, where they are not what the name alone means."""
        return None if self.shipped else self.picked or "origin unknown"

    def verdicts(self) -> Verdicts | None:
        """The evidence behind the result, if it is here and is that of the result."""
        try:
            verdicts = Verdicts.read(self.folder / VERDICTS_FILE)
        except AdvssError:
            return None
        return verdicts if verdicts.sha256 == self.result.verdicts_file.sha256 else None


@dataclass(frozen=True)
class Kept:
    """One of the weights that a run has kept."""

    picked: str
    sha256: str | None
    epochs: float
    shipped: bool


@dataclass(frozen=True)
class Unforeseen:
    """A model under one unforeseen attack, a measurement at each of some strengths."""

    measured: tuple[Measurement, ...]

    @property
    def accuracy(self) -> float:
        """The mean over the strengths, as a fraction."""
        return fmean(measured.result.ra or 0.0 for measured in self.measured)


class Ours:
    """The measurements on the cards and in a folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.unreadable: dict[str, None] = {}  # why files in `runs` were left out, each reason once
        self._evaluated = list(self._read_all())
        self._known: dict[tuple[str, str], list[Measurement]] = {}
        self._kept: dict[str, list[Kept]] = {}

    def measurements(self, full_name: str, protocol: str = PROTOCOL) -> list[Measurement]:
        """One measurement for each pick, what the checkpoint ships first; of several the one on the most images."""
        if (full_name, protocol) not in self._known:
            self._known[full_name, protocol] = self._find(full_name, protocol)
        return self._known[full_name, protocol]

    def of(self, full_name: str, protocol: str = PROTOCOL) -> Measurement | None:
        """The measurement that stands for a checkpoint: of what it ships or, where that is not known, of anything."""
        found = self.measurements(full_name, protocol)
        return next((measured for measured in found if measured.shipped or not measured.picked), None)

    def is_complete(self, full_name: str, protocol: str = PROTOCOL) -> bool:
        """Is there a measurement on all test images that stands for a checkpoint?

        Args:
            protocol: of a suite, all of its protocols have to be there.
        """
        parts = expand(protocol)
        found = (self.transfer(*members(full_name)) if part == TRANSFER else self.of(full_name, part) for part in parts)
        return all(measured and measured.result.n == TEST_IMAGES for measured in found)

    def unmeasured_picks(self, full_name: str) -> list[str]:
        """What validation picked in the finished run of a checkpoint and nobody has measured on all test images."""
        if not (self.runs / full_name / LAST / CONFIG).is_file():
            return []
        found = self.measurements(full_name)
        done = {measured.result.model.sha256 for measured in found if measured.result.n == TEST_IMAGES}
        picks = {kept.sha256: kept.picked for kept in self._picks(full_name) if kept.picked in PICKS}
        return [picked for sha256, picked in picks.items() if sha256 not in done | self.weights(full_name)]

    def weights(self, full_name: str) -> frozenset[str]:
        """The sha256 of the weights that a checkpoint ships; empty where neither the zoo nor a run has them.

        An ensemble is what its members ship now, whatever it was put together of before. It has a sha256 for each
        order of them.
        """
        parts = members(full_name)
        shipped = [sha256 for part in parts for sha256 in self.weights(part)]
        if parts and len(shipped) == len(parts):
            return _in_any_order(shipped)
        if entry := zoo_entry(full_name):
            return frozenset([entry.sha256])
        if parts:
            return _in_any_order(self.assembled(full_name))
        return frozenset(kept.sha256 for kept in self._picks(full_name) if kept.shipped and kept.sha256)

    def assembled(self, full_name: str) -> list[str]:
        """The sha256 of the members that an ensemble was put together of in its run."""
        folder = self.runs / full_name / ENSEMBLE
        try:
            return [member.sha256 for member in ensembles.read(folder).members]
        except AdvssError:
            return []

    def unforeseen(self, *full_names: str) -> dict[str, dict[str, Unforeseen]]:
        """By attack and model, what each has measured at the strengths that all have met on as many images."""
        found: dict[str, dict[str, Unforeseen]] = {}
        for attack in CIFAR10:
            levels = [[self.of(name, level) for name in full_names] for level in expand(f"{UNFORESEEN}-{attack}")]
            known = [[measured for measured in level if measured] for level in levels]
            met = [
                level for level in known if len(level) == len(full_names) and len({one.result.n for one in level}) == 1
            ]
            if met:
                found[attack] = {
                    name: Unforeseen(tuple(each)) for name, each in zip(full_names, zip(*met, strict=True), strict=True)
                }
        return found

    def transfer(self, *full_names: str) -> Measurement | None:
        """The measurement of who fools whom that has all of these models, what they ship and most images first."""
        found = [measured for measured in self._transfers if set(full_names) <= set(_sources(measured.result))]
        return min(found, key=lambda measured: (not measured.shipped, -measured.result.n), default=None)

    def transferred(self, source: str, target: str) -> Estimate | None:
        """How many of the source's adversarial images the target gets wrong."""
        measured = self.transfer(source, target)
        if measured is None:
            return None
        shown = _rates(measured.result)
        asr = shown.asr[shown.sources.index(source)][shown.targets.index(target)]
        return Estimate.of(asr, measured.result.n)

    def shared(self, source: str, fooled: tuple[str, ...], spared: tuple[str, ...]) -> Estimate | None:
        """Of the source's adversarial images that fool either of two others, how many fool `fooled` alone.

        Args:
            fooled, spared: two full names in all; none is spared where both are to be fooled.
        """
        measured = self.transfer(source, *fooled, *spared)
        for pair in measured.result.details.venn[source] if measured else ():
            if set(pair.targets) == {*fooled, *spared}:
                share = pair.of_union[1 + pair.targets.index(fooled[0]) if spared else 0]
                return None if share is None else Estimate.of(share, pair.both + sum(pair.only))
        return None

    def _find(self, full_name: str, protocol: str) -> list[Measurement]:
        found = [*self._from_card(full_name, protocol), *self._from_runs(full_name, protocol)]
        known = [measurement for measurement in found if measurement.shipped or measurement.picked]
        best: dict[str | None, Measurement] = {}
        certain = known or self.weights(full_name)  # are others those of an earlier training?
        for measurement in sorted(known if certain else found, key=lambda m: (not m.shipped, -m.result.n)):
            best.setdefault(measurement.picked, measurement)
        return list(best.values())

    def _from_card(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        entry = zoo_entry(full_name)
        if entry is None:
            return
        for document in entry.results:
            result = Result.from_dict(document)
            if _is_asked_for(result, protocol):
                yield self._measurement(full_name, result, _folder(entry, result))

    def _from_runs(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        parts = set(members(full_name))
        for result, folder in self._evaluated:
            measured = result.model.name
            if _is_asked_for(result, protocol) and (measured == full_name or set(measured.split("+")) == parts):
                yield self._measurement(full_name, result, folder)

    @cached_property
    def _transfers(self) -> list[Measurement]:
        """Who fools whom, on the cards and then in the folder of runs; not of weights that members had before."""
        carded = ((entry, Result.from_dict(document)) for entry in index.entries() for document in entry.results)
        found = [*((result, _folder(entry, result)) for entry, result in carded), *self._evaluated]
        measured = [
            Measurement(result.model.name, result, folder, shipped=self._are_shipped(result))
            for result, folder in found
            if _is_asked_for(result, TRANSFER) and result.details.transfer
        ]
        return [each for each in measured if each.shipped or not all(map(self.weights, _sources(each.result)))]

    def _are_shipped(self, result: Result) -> bool:
        """Was an ensemble measured whose members have the weights that their checkpoints ship?"""
        shipped = [sha256 for name in _sources(result) for sha256 in self.weights(name)]
        return result.model.sha256 == combined_sha256(shipped)

    def _measurement(self, full_name: str, result: Result, folder: Path) -> Measurement:
        return Measurement(full_name, result, folder, **self._provenance(full_name, result.model.sha256))

    def _provenance(self, full_name: str, sha256: str | None) -> dict[str, Any]:
        """How the weights with this sha256 were made, if the zoo or a run has them."""
        if parts := members(full_name):
            if sha256 not in self.weights(full_name):
                return {}
            epochs = [self._provenance(part, known)["epochs"] for part in parts for known in self.weights(part)]
            return {"epochs": sum(epochs) if len(epochs) == len(parts) else None, "shipped": True}
        entry = zoo_entry(full_name)
        if entry and entry.sha256 == sha256:
            return {"picked": entry.training["picked"], "epochs": entry.training["epochs"], "shipped": True}
        made = [kept for kept in self._picks(full_name) if kept.sha256 == sha256]
        shipped = [kept for kept in made if kept.shipped]
        told = shipped or made  # one epoch may be the best in both
        if not told:
            return {}
        picked = " and ".join(kept.picked for kept in told)
        return {"picked": picked, "epochs": told[0].epochs, "shipped": bool(shipped)}

    def _picks(self, full_name: str) -> list[Kept]:
        """The weights that the run of a checkpoint kept, unless the zoo's are of another run."""
        if full_name not in self._kept:
            kept, entry = list(self._read_picks(full_name)), zoo_entry(full_name)
            related = entry is None or entry.sha256 in {each.sha256 for each in kept}
            self._kept[full_name] = kept if related else []
        return self._kept[full_name]

    def _read_picks(self, full_name: str) -> Iterator[Kept]:
        for path in sorted((self.runs / full_name).glob(f"*/{CONFIG}")):
            try:
                config = checkpoint.read_config(path.parent)
            except AdvssError as error:
                self.unreadable[error.message] = None
                continue
            if made := config.provenance:
                yield Kept(made.picked, config.sha256, made.epochs, made.picked == made.deployed)

    def _read_all(self) -> Iterator[tuple[Result, Path]]:
        for path in sorted(self.runs.rglob(RESULT_FILE)):
            try:
                result = Result.read(path)
            except AdvssError as error:
                self.unreadable[error.message] = None
                continue
            yield result, path.parent


def _in_any_order(members: Sequence[str]) -> frozenset[str]:
    """The sha256 of the ensembles of all these, of which there are few."""
    return frozenset(combined_sha256(order) for order in permutations(members) if order)


def _is_asked_for(result: Result, protocol: str) -> bool:
    return result.protocol.label == protocol and result.data.name in DATA and result.data.split == "test"


def _rates(result: Result) -> TransferRates:
    """Of a result of `transfer`."""
    assert result.details.transfer is not None
    return result.details.transfer


def _sources(result: Result) -> tuple[str, ...]:
    """The models that `transfer` attacked."""
    return _rates(result).sources


def _folder(entry: Entry, result: Result) -> Path:
    """Where the verdicts behind a card lie, or would lie if they were on this machine."""
    return sources.SOURCES[entry.stored](entry) / RESULTS / result.slug()
