"""What was measured of our checkpoints: on their cards, or in what `advss eval` left. Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from advss_zoo.attacks.unforeseen.calibration import CIFAR10
from advss_zoo.data import catalogue
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.protocols import expand
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.report import paper
from advss_zoo.training import recipe
from advss_zoo.zoo import checkpoint, index, sources
from advss_zoo.zoo.checkpoint import CONFIG
from advss_zoo.zoo.ensembles import combined_sha256
from advss_zoo.zoo.index import Entry

PROTOCOL, TRANSFER, UNFORESEEN = "pgd20", "transfer", "unforeseen"
DATA = (catalogue.CIFAR10.name, catalogue.SUBSET)  # the second is the first 1,000 images of the first
TEST_IMAGES = 10_000


def members(full_name: str) -> list[str]:
    """The full names of what an ensemble of the paper is made of; of any other checkpoint, none."""
    name, _, tag = full_name.partition(".")
    return [f"{member}.{tag}" for member in paper.ensembles().get(name, ())]


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
        return verdicts if verdicts.sha256 == self.result.verdicts["sha256"] else None


@dataclass(frozen=True)
class Unforeseen:
    """A model under one unforeseen attack, a measurement at each of some strengths."""

    measured: tuple[Measurement, ...]

    @property
    def accuracy(self) -> float:
        """The mean over the strengths, as a fraction."""
        return math.fsum(measured.result.ra or 0.0 for measured in self.measured) / len(self.measured)


class Ours:
    """The measurements on the cards and in a folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.unreadable: dict[str, None] = {}  # why files in `runs` were left out, each reason once
        self._evaluated = list(self._read_all())
        self._known: dict[tuple[str, str], list[Measurement]] = {}

    def measurements(self, full_name: str, protocol: str = PROTOCOL) -> list[Measurement]:
        """One measurement for each pick, what the checkpoint ships first; of several the one on the most images."""
        if (full_name, protocol) not in self._known:
            self._known[full_name, protocol] = self._find(full_name, protocol)
        return self._known[full_name, protocol]

    def of(self, full_name: str, protocol: str = PROTOCOL) -> Measurement | None:
        """The measurement that stands for a checkpoint."""
        return next(iter(self.measurements(full_name, protocol)), None)

    def is_complete(self, full_name: str, protocol: str = PROTOCOL) -> bool:
        """Is there a measurement on all test images of what the name means, or of weights that nothing is known of?

        Args:
            protocol: of a suite, all of its protocols have to be there.
        """
        parts = expand(protocol)
        found = (self.transfer(*members(full_name)) if part == TRANSFER else self.of(full_name, part) for part in parts)
        return all(m and m.result.n == TEST_IMAGES and (m.shipped or not m.picked) for m in found)

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

    def transferred(self, source: str, target: str) -> float | None:
        """How many of the source's adversarial images the target gets wrong, as a fraction."""
        measured = self.transfer(source, target)
        if measured is None:
            return None
        shown = _details(measured)["transfer"]
        return float(shown["asr"][shown["sources"].index(source)][shown["targets"].index(target)])

    def shared(self, source: str, fooled: tuple[str, ...], spared: tuple[str, ...]) -> float | None:
        """Of the source's adversarial images that fool either of two others, the fraction that fools `fooled` alone.

        Args:
            fooled, spared: two full names in all; none is spared where both are to be fooled.
        """
        measured = self.transfer(source, *fooled, *spared)
        for pair in _details(measured)["venn"][source] if measured else []:
            if set(pair["targets"]) == {*fooled, *spared}:
                fraction: float | None = pair["of_union"][1 + pair["targets"].index(fooled[0]) if spared else 0]
                return fraction
        return None

    def _find(self, full_name: str, protocol: str) -> list[Measurement]:
        found = [*self._from_card(full_name, protocol), *self._from_runs(full_name, protocol)]
        known = [measurement for measurement in found if measurement.shipped or measurement.picked]
        best: dict[str | None, Measurement] = {}
        for measurement in sorted(known or found, key=lambda m: (not m.shipped, -m.result.n)):
            best.setdefault(measurement.picked, measurement)
        return list(best.values())

    def _from_card(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        entry = _entry(full_name)
        if entry is None:
            return
        for document in entry.results:
            result = Result.from_json(document)
            if _is_asked_for(result, protocol):
                yield self._measurement(full_name, result, _folder(entry, result))

    def _from_runs(self, full_name: str, protocol: str) -> Iterator[Measurement]:
        parts = set(members(full_name))
        for result, folder in self._evaluated:
            measured = str(result.model["name"])
            if _is_asked_for(result, protocol) and (measured == full_name or set(measured.split("+")) == parts):
                yield self._measurement(full_name, result, folder)

    @cached_property
    def _transfers(self) -> list[Measurement]:
        """Who fools whom, on the cards and then in the folder of runs."""
        carded = ((entry, Result.from_json(document)) for entry in index.entries() for document in entry.results)
        found = [*((result, _folder(entry, result)) for entry, result in carded), *self._evaluated]
        return [
            Measurement(str(result.model["name"]), result, folder, shipped=self._are_shipped(result))
            for result, folder in found
            if _is_asked_for(result, TRANSFER) and result.details
        ]

    def _are_shipped(self, result: Result) -> bool:
        """Was an ensemble measured whose members have the weights that their checkpoints ship?"""
        shipped = [self._shipped(name) or "" for name in _sources(result)]
        return bool(result.model["sha256"] == combined_sha256(shipped))

    def _shipped(self, full_name: str) -> str | None:
        """The sha256 of the weights that a checkpoint ships, or those of its run do."""
        if entry := _entry(full_name):
            return entry.sha256
        return next((facts["sha256"] for facts in self._picks(full_name) if facts["shipped"]), None)

    def _measurement(self, full_name: str, result: Result, folder: Path) -> Measurement:
        return Measurement(full_name, result, folder, **self._provenance(full_name, result.model["sha256"]))

    def _provenance(self, full_name: str, sha256: str | None) -> dict[str, Any]:
        """How the weights with this sha256 were made, if the zoo or a run has them."""
        if parts := members(full_name):
            epochs = [made.epochs for made in map(self.of, parts) if made and made.epochs]
            return {"epochs": sum(epochs) if len(epochs) == len(parts) else None, "shipped": True}
        entry = _entry(full_name)
        if entry and entry.sha256 == sha256:
            return {"picked": entry.training["picked"], "epochs": entry.training["epochs"], "shipped": True}
        made = [facts for facts in self._picks(full_name) if facts.pop("sha256") == sha256]
        return max(made, key=lambda facts: facts["shipped"], default={})  # one epoch may be the best in both

    def _picks(self, full_name: str) -> Iterator[dict[str, Any]]:
        """What the run of a checkpoint says of each of the weights it kept."""
        for path in sorted((self.runs / full_name).glob(f"*/{CONFIG}")):
            try:
                config = checkpoint.read_config(path.parent)
                shipped = recipe.load(path.with_name("recipe.yaml")).ship
            except AdvssError as error:
                self.unreadable[error.message] = None
                continue
            if made := config.provenance:
                yield {
                    "sha256": config.sha256,
                    "picked": made.picked,
                    "epochs": made.epochs,
                    "shipped": made.picked == shipped,
                }

    def _read_all(self) -> Iterator[tuple[Result, Path]]:
        for path in sorted(self.runs.rglob(RESULT_FILE)):
            try:
                result = Result.read(path)
            except AdvssError as error:
                self.unreadable[error.message] = None
                continue
            yield result, path.parent


def _entry(full_name: str) -> Entry | None:
    return next((entry for entry in index.entries() if entry.full_name == full_name), None)


def _is_asked_for(result: Result, protocol: str) -> bool:
    return result.protocol["label"] == protocol and result.data["name"] in DATA and result.data["split"] == "test"


def _details(measured: Measurement) -> dict[str, Any]:
    """Of a result of `transfer`, which has some."""
    assert measured.result.details is not None
    return measured.result.details


def _sources(result: Result) -> list[str]:
    """The models that `transfer` attacked."""
    assert result.details is not None
    return list(result.details["transfer"]["sources"])


def _folder(entry: Entry, result: Result) -> Path:
    """Where the verdicts behind a card lie, or would lie if they were on this machine."""
    return sources.SOURCES[entry.stored](entry) / "results" / result.slug()
