"""What a result file holds: the parts of the one document that `results.Result` is.

Anyone may have written such a file, so types, ranges and lengths are checked. Unknown keys inside the parts are kept:
a newer version may have written them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from advss_zoo.files import plain

LONGEST_TEXT = 2**20  # characters; a command line can be long
MOST_SEVERITIES = 7  # of a corruption: bits of an int8 beside its sign
BLACK_BOX = "square"  # the attack of AutoAttack that uses no gradient

Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]  # which excludes NaN
Positive = Annotated[float, Field(ge=0, le=1e12, strict=True)]
Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Interval = tuple[Fraction, Fraction]


class Part(BaseModel):
    """A part of a result; it is written as it was given, without the defaults."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class EvaluatedModel(Part):
    """`sha256` is that of the file, `weights_sha256` that of the parameters and buffers that were evaluated.

    `adapted` says what was done to the images that the model was given and to its output (see `models.adapted`).
    """

    name: Text
    sha256: Text | None = None
    weights_sha256: Text
    adapted: tuple[Text, ...] = ()


class EvaluatedData(Part):
    """`classes`: of how many of the model's `outputs` there may be images, where that is not all."""

    name: Text
    split: Text | None
    n: Count
    indices: Text
    content_sha256: Text
    classes: Count | None = None
    outputs: Count | None = None


class AttackConstants(Part):
    """One attack of several; `sampled`: it ran only on a random sample of the images that those before it left."""

    name: Text
    sampled: StrictBool = False


class CorruptionNames(Part):
    """`extra` are those that the mean leaves out."""

    benchmark: tuple[Text, ...] = Field(min_length=1)
    extra: tuple[Text, ...] = ()


class Constants(Part):
    """Every constant of a protocol. Those that something depends on have a type; the others are kept as they are."""

    name: Text
    label: Text
    version: Count | None = None
    norm: Literal["linf", "l2", "l1"] | None = None
    eps: Positive | None = None
    attack: Text | None = None
    strength: Positive | None = None
    attacks: tuple[AttackConstants, ...] = ()
    steps: int | None = Field(None, ge=1, le=10**9, strict=True)
    step_size: Positive | None = None
    iterate: Text | None = None
    restarts: Count = 1
    source: Text | None = None
    corruptions: CorruptionNames | None = None
    severities: int = Field(0, ge=0, le=MOST_SEVERITIES, strict=True)
    search: Text | None = None
    eot: Annotated[int, Field(ge=1, le=10**6, strict=True)] | None = None  # draws of a random model

    @model_validator(mode="after")
    def _has_severities(self) -> Self:
        if self.corruptions and not self.severities:
            raise ValueError(f"corruptions need between 1 and {MOST_SEVERITIES} severities")
        return self


class Experiment(Part):
    """What is measured on what: everything that determines the verdicts. `fingerprint` is its sha256."""

    model_config = ConfigDict(extra="ignore")

    model: EvaluatedModel
    data: EvaluatedData
    protocol: Constants
    fingerprint: Text

    @classmethod
    def of(cls, model: EvaluatedModel, data: EvaluatedData, constants: dict[str, Any]) -> Self:
        """Describe an evaluation. A model's name decides nothing: the same weights may have two."""
        decisive = {
            "model": [model.sha256, model.weights_sha256],
            "data": [data.content_sha256, data.indices],
            "protocol": constants,
        }
        fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
        return cls(model=model, data=data, protocol=Constants(**plain(constants)), fingerprint=fingerprint)

    def differences(self, other: Experiment) -> list[str]:
        """Return what determines the verdicts and is not the same in both."""
        one, two = self.protocol.to_dict(), other.protocol.to_dict()
        constants = sorted(key for key in (one.keys() | two.keys()) - {"label"} if one.get(key) != two.get(key))
        same_weights = self.model.weights_sha256 == other.model.weights_sha256
        differs = {
            "weights": not same_weights,
            "code around the same weights": same_weights and self.model.sha256 != other.model.sha256,
            "images": self.data.content_sha256 != other.data.content_sha256,
            "constants: " + ", ".join(constants): bool(constants),
        }
        return [what for what, is_so in differs.items() if is_so] or ["indices of images"]


class VerdictsFile(Part):
    file: Text
    sha256: Text


class AttackScore(Part):
    """Accuracy under an attack, alone or after those before it; `broken` counts the images that it broke first."""

    name: Text
    broken: Count | None = None
    accuracy: Fraction


class SampledScore(Part):
    """RA under all attacks, estimated from a random sample of the survivors of those that ran on every image."""

    survivors: Count
    attacked: Count
    broken: Count
    ra: Fraction
    ra_ci95: Interval


class TransferRates(Part):
    """Success rates of transferred attacks; rows are sources, columns targets."""

    sources: tuple[Text, ...] = Field(min_length=1)
    targets: tuple[Text, ...] = Field(min_length=1)
    asr: tuple[tuple[Fraction, ...], ...]
    asr_of_right: tuple[tuple[Fraction | None, ...], ...]

    @model_validator(mode="after")
    def _is_rectangular(self) -> Self:
        for rates in (self.asr, self.asr_of_right):
            if [len(row) for row in rates] != [len(self.targets)] * len(self.sources):
                raise ValueError("the rates do not match the sources and targets")
        return self


class VennCounts(Part):
    """How many images fool both targets and each alone; shares of the images that fool either, and of all."""

    targets: tuple[Text, Text]
    both: Count
    only: tuple[Count, Count]
    of_union: tuple[Fraction | None, Fraction | None, Fraction | None]
    of_all: tuple[Fraction | None, Fraction | None, Fraction | None]


class Details(Part):
    """What the verdicts say beside TA and RA; `evaluation.details` says what each of these is."""

    attacks: tuple[AttackScore, ...] = ()
    sampled: SampledScore | None = None
    black_box_beats_white_box: StrictBool = False
    unconfirmed: Count = 0
    zero_gradients: Fraction = 0.0
    no_rise: Fraction = 0.0
    dynamic: StrictBool = False
    more_than_possible: StrictBool = False
    ra_8bit: Fraction | None = None
    reordered_accuracy: Fraction | None = None
    corruptions: dict[Text, Annotated[tuple[Fraction, ...], Field(min_length=1)]] = {}
    corruption_accuracy: Fraction | None = None
    corruption_accuracy_ci95: Interval | None = None
    parts: tuple[AttackScore, ...] = ()
    transfer: TransferRates | None = None
    venn: dict[Text, tuple[VennCounts, ...]] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len({len(row) for row in self.corruptions.values()}) > 1:
            raise ValueError("the corruptions do not have the same severities")
        if self.black_box_beats_white_box and BLACK_BOX not in {attack.name for attack in self.attacks}:
            raise ValueError(f"{BLACK_BOX} is not among the attacks")
        return self
