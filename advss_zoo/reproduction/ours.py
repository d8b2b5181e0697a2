"""What was measured of our checkpoints: on their cards, or in what `advss eval` left. Nothing is measured here."""

from __future__ import annotations

from collections import defaultdict
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
from advss_zoo.reproduction import paper
from advss_zoo.reproduction.standing import Profile, Standing
from advss_zoo.training import log
from advss_zoo.zoo import CONFIG, RESULTS, checkpoint, ensembles, index, sources
from advss_zoo.zoo.ensembles import combined_sha256
from advss_zoo.zoo.index import Entry
from advss_zoo.zoo.runs import ENSEMBLE, LAST, LOG

PROTOCOL, TRANSFER, UNFORESEEN = "pgd20", "transfer", "unforeseen"
DATA = (catalogue.CIFAR10.name, catalogue.SUBSET)  # the second is the first 1,000 images of the first
TEST_IMAGES, SUBSET_IMAGES = 10_000, 1_000
PICKS = ("best-ta", "best-ra")  # the weights of a run that validation picks
# Where a protocol is measured that takes too long on all test images.
ON_FEWER = {UNFORESEEN: catalogue.SUBSET}


def members(full_name: str) -> list[str]:
    """Return the full names of what an ensemble of the paper is made of; of any other checkpoint, none."""
    name, _, tag = full_name.partition(".")
    return [f"{member}.{tag}" for member in paper.ensembles().get(name, ())]


def images_of(protocol: str) -> int:
    """Return how many test images complete a measurement."""
    return SUBSET_IMAGES if protocol in ON_FEWER else TEST_IMAGES


def zoo_entry(full_name: str) -> Entry | None:
    """Return what the zoo has under exactly this name."""
    return next((entry for entry in index.entries() if entry.full_name == full_name), None)


@dataclass(frozen=True)
class Measurement:
    """TA and RA of one set of weights; `picked` and `epochs` are None where nothing says how the weights were made.

    `changes` says what differs between the making of the weights and the recipes as they stand. Where it is not empty
    the measurement is shown, and no claim is judged by it.
    """

    name: str
    result: Result
    folder: Path  # where the result and, if they are on this machine, the verdicts lie
    picked: str | None = None
    epochs: float | None = None
    shipped: bool = False  # are these the weights of the run that the checkpoint ships?
    changes: tuple[str, ...] = ()

    @property
    def pick(self) -> str | None:
        """Which weights these are, where they are not what the name alone means."""
        return None if self.shipped else self.picked or "origin unknown"

    def verdicts(self) -> Verdicts | None:
        """Return the evidence behind the result, if it is here and is that of the result."""
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
class Checkup:
    """Accuracies on validation images at some moment of training."""

    epoch: float
    ta: float
    ra: float


@dataclass(frozen=True)
class UnforeseenRow:
    """A model under one unforeseen attack, a measurement at each of some strengths (1 to 6), on the same images."""

    strengths: tuple[int, ...]
    measured: tuple[Measurement, ...]

    @property
    def accuracy(self) -> float:
        """The mean over the strengths, as a fraction."""
        return fmean(measured.result.ra or 0.0 for measured in self.measured)


class OurResults:
    """The measurements on the cards and in a folder of runs.

    Args:
        profile: of the recipes that the checkpoints are compared with.
    """

    def __init__(self, runs: Path, profile: Profile = "fast") -> None:
        self.runs = runs
        self.standing = Standing(runs, profile)
        self.unreadable: dict[str, None] = {}  # why files in `runs` were left out, each reason once
        self._evaluated = list(self._read_all())
        self._known: dict[tuple[str, str], list[Measurement]] = {}
        self._kept: dict[str, list[Kept]] = {}

    def measurements(self, full_name: str, protocol: str = PROTOCOL) -> list[Measurement]:
        """Return one measurement for each pick, what the checkpoint ships first; of several the one on the most
        images.
        """
        if (full_name, protocol) not in self._known:
            self._known[full_name, protocol] = self._find(full_name, protocol)
        return self._known[full_name, protocol]

    def of(self, full_name: str, protocol: str = PROTOCOL) -> Measurement | None:
        """Return the measurement that stands for a checkpoint: of what it ships, made by the recipe as it stands."""
        return next((m for m in self.measurements(full_name, protocol) if m.shipped and not m.changes), None)

    def is_complete(self, full_name: str, protocol: str = PROTOCOL) -> bool:
        """Tell whether a measurement on as many images as the protocol needs stands for a checkpoint.

        Args:
            protocol: of a suite, all of its protocols have to be there.
        """
        if protocol == TRANSFER:
            measured = self.transfer(*members(full_name))
            return measured is not None and not measured.changes and measured.result.n >= images_of(protocol)
        found = (self.of(full_name, part) for part in expand(protocol))
        return all(measured and measured.result.n >= images_of(protocol) for measured in found)

    def entry(self, full_name: str) -> Entry | None:
        """Return what the zoo has under a name, if the recipe as it stands made it; of an ensemble, those of its
        members.
        """
        entry = zoo_entry(full_name)
        if entry and members(full_name):
            return entry if entry.sha256 in self.weights(full_name) else None
        return entry if entry and not self.standing.changes(full_name, entry.sha256) else None

    def curve(self, full_name: str) -> list[Checkup]:
        """Return the course of validation while the weights that stand for a checkpoint were trained; empty if it is
        lost.
        """
        entry = self.entry(full_name)
        if entry and (told := entry.training.get("curve")):
            return [Checkup(**look) for look in told]
        if self.weights(full_name).isdisjoint(kept.sha256 for kept in self._picks(full_name)):
            return []
        records = log.read(self.runs / full_name / LOG)
        return [Checkup(each["epoch"], **each["validation"]) for each in records if "validation" in each]

    def unmeasured_picks(self, full_name: str) -> list[str]:
        """Return what validation picked in the finished run of a checkpoint and nobody has measured on all test
        images.
        """
        if not (self.runs / full_name / LAST / CONFIG).is_file():
            return []
        found = self.measurements(full_name)
        done = {measured.result.model.sha256 for measured in found if measured.result.n == TEST_IMAGES}
        picks = {
            kept.sha256: kept.picked
            for kept in self._picks(full_name)
            if kept.picked in PICKS and not self.standing.changes(full_name, kept.sha256)
        }
        return [picked for sha256, picked in picks.items() if sha256 not in done | self.weights(full_name)]

    def weights(self, full_name: str) -> frozenset[str]:
        """Return the sha256 of the weights that a checkpoint ships, made by the recipe as it stands; empty if there
        are none.

        An ensemble is what its members ship now, whatever it was put together of before. It has a sha256 for each
        order of them.
        """
        if parts := members(full_name):
            ships = [sha256 for part in parts for sha256 in self.weights(part)]
            return _in_any_order(ships) if len(ships) == len(parts) else frozenset()
        if entry := self.entry(full_name):
            return frozenset([entry.sha256])
        kept = (each.sha256 for each in self._picks(full_name) if each.shipped and each.sha256)
        return frozenset(sha256 for sha256 in kept if not self.standing.changes(full_name, sha256))

    def assembled(self, full_name: str) -> list[str]:
        """Return the sha256 of the members that an ensemble was put together of in its run."""
        folder = self.runs / full_name / ENSEMBLE
        try:
            return [member.sha256 for member in ensembles.read(folder).members]
        except AdvssError:
            return []

    def unforeseen(self, *full_names: str) -> dict[str, dict[str, UnforeseenRow]]:
        """Collect by attack and model the measurements at the strengths that all models share, on the same images.

        Where they have met on several numbers of images, those at which there are most strengths, then most images.
        """
        found: dict[str, dict[str, UnforeseenRow]] = {}
        for attack in CIFAR10:
            by_images: dict[int, dict[int, list[Measurement]]] = defaultdict(dict)
            for strength, protocol in enumerate(expand(f"{UNFORESEEN}-{attack}"), start=1):
                for n, met in self._met(full_names, protocol).items():
                    by_images[n][strength] = met
            if by_images:
                _, best = max(by_images.items(), key=lambda found: (len(found[1]), found[0]))
                models = zip(*best.values(), strict=True)
                found[attack] = {
                    name: UnforeseenRow(tuple(best), measured)
                    for name, measured in zip(full_names, models, strict=True)
                }
        return found

    def _met(self, full_names: Sequence[str], protocol: str) -> dict[int, list[Measurement]]:
        """By number of images, the measurements of all these models on that many."""
        known = [{m.result.n: m for m in self._standing_for(name, protocol)} for name in full_names]
        common = set.intersection(*map(set, known))
        return {n: [each[n] for each in known] for n in common}

    def transfer(self, *full_names: str) -> Measurement | None:
        """Return the measurement of who fools whom that has all of these models, what they ship and most images
        first.
        """
        found = [measured for measured in self._transfers if set(full_names) <= set(_sources(measured.result))]
        return min(found, key=lambda m: (bool(m.changes), -m.result.n), default=None)

    def transferred(self, source: str, target: str) -> Estimate | None:
        """Return how many of the source's adversarial images the target gets wrong."""
        measured = self.transfer(source, target)
        if measured is None:
            return None
        shown = _rates(measured.result)
        asr = shown.asr[shown.sources.index(source)][shown.targets.index(target)]
        return Estimate.of(asr, measured.result.n)

    def shared(self, source: str, fooled: tuple[str, ...], spared: tuple[str, ...]) -> Estimate | None:
        """Count the source's adversarial images that fool `fooled` alone, of those that fool either of two others.

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
        found = self._all(full_name, protocol)
        known = [measurement for measurement in found if measurement.shipped or measurement.picked]
        best: dict[str | None, Measurement] = {}
        certain = known or self.weights(full_name)  # are others those of an earlier training?
        ordered = sorted(known if certain else found, key=lambda m: (bool(m.changes), not m.shipped, -m.result.n))
        for measurement in ordered:
            best.setdefault(measurement.picked, measurement)
        return list(best.values())

    def _standing_for(self, full_name: str, protocol: str) -> list[Measurement]:
        """All measurements of what a checkpoint ships, the one on the most images last."""
        found = [m for m in self._all(full_name, protocol) if m.shipped and not m.changes]
        return sorted(found, key=lambda m: m.result.n)

    def _all(self, full_name: str, protocol: str) -> list[Measurement]:
        return [*self._from_card(full_name, protocol), *self._from_runs(full_name, protocol)]

    @cached_property
    def _carded(self) -> list[tuple[str, Result, Path]]:
        """The results on the cards, each with the name of its checkpoint and where its verdicts lie."""
        read = ((entry, Result.from_dict(document)) for entry in index.entries() for document in entry.results)
        return [(entry.full_name, result, _folder(entry, result)) for entry, result in read]

    def _from_card(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        for name, result, folder in self._carded:
            if name == full_name and _is_asked_for(result, protocol):
                yield self._measurement(full_name, result, folder)

    def _from_runs(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        parts, ships = set(members(full_name)), self.weights(full_name)
        for result, folder in self._evaluated:
            measured = result.model.name
            meant = measured == full_name or set(measured.split("+")) == parts or result.model.sha256 in ships
            if _is_asked_for(result, protocol) and meant:
                yield self._measurement(full_name, result, folder)

    @cached_property
    def _transfers(self) -> list[Measurement]:
        """Who fools whom, on the cards and then in the folder of runs; not of weights that members had before."""
        found = [*((result, folder) for _, result, folder in self._carded), *self._evaluated]
        measured = [
            self._transfer(result, folder)
            for result, folder in found
            if _is_asked_for(result, TRANSFER) and result.details.transfer
        ]
        return [each for each in measured if each.shipped or not all(map(self.weights, _sources(each.result)))]

    def _transfer(self, result: Result, folder: Path) -> Measurement:
        """Of an ensemble whose members have the weights that their checkpoints ship, or have not."""
        names = _sources(result)
        ships = [sha256 for name in names for sha256 in self.weights(name)]
        same = result.model.sha256 == combined_sha256(ships)
        changes = () if same else (f"nothing here says that these are the weights of {', '.join(names)}",)
        return Measurement(result.model.name, result, folder, shipped=same, changes=changes)

    def _measurement(self, full_name: str, result: Result, folder: Path) -> Measurement:
        sha256 = result.model.sha256
        changes = self.standing.changes(full_name, sha256)
        if members(full_name):
            same = sha256 in self.weights(full_name)
            changes = () if same else (f"its members are not the weights that {full_name} is made of",)
        return Measurement(full_name, result, folder, **self._provenance(full_name, sha256), changes=changes)

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
        ships = [kept for kept in made if kept.shipped]
        told = ships or made  # one epoch may be the best in both
        if not told:
            return {}
        picked = " and ".join(kept.picked for kept in told)
        return {"picked": picked, "epochs": told[0].epochs, "shipped": bool(ships)}

    def _picks(self, full_name: str) -> list[Kept]:
        """The weights that the run of a checkpoint kept, unless the zoo's are of another run."""
        if full_name not in self._kept:
            kept, entry = list(self._read_picks(full_name)), self.entry(full_name)
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
