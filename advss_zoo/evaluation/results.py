"""The result file: what was measured on what, and numbers that anyone can derive again from the verdicts."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from advss_zoo.errors import AdvssError, all_mistakes
from advss_zoo.evaluation import details
from advss_zoo.evaluation.schema import (
    Constants,
    Details,
    EvaluatedData,
    EvaluatedModel,
    Experiment,
    Fraction,
    Interval,
    Part,
    Positive,
    Text,
    VerdictsFile,
)
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import plain, read_json, slug, write_json

RESULT_SCHEMA = 1
RESULT_FILE = "result.json"
VERDICTS_FILE = "verdicts.npz"


class Result(Part):
    """One protocol on one model and data set; accuracies and their Wilson intervals are fractions.

    The verdicts on each image are read from the folder that the result was read from when they are asked for. Equality
    is that of the documents.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = Field(alias="schema")
    model: EvaluatedModel
    data: EvaluatedData
    protocol: Constants
    seed: int = Field(strict=True)
    n: int = Field(ge=1, le=10**12, strict=True)
    ta: Fraction
    ra: Fraction | None  # None where nothing was attacked
    ta_ci95: Interval
    ra_ci95: Interval | None
    images_per_second: Positive
    seconds: Positive  # spent on the n images, summed over all processes that took part
    device: Text  # where several took part, all of them with commas between; versions likewise
    versions: dict[Text, Text]
    command: Text
    date: Text
    verdicts_file: VerdictsFile = Field(alias="verdicts")
    fingerprint: Text
    details: Details = Details()

    _folder: Path | None = PrivateAttr(None)
    _verdicts: Verdicts | None = PrivateAttr(None)
    _baseline: Result | None = PrivateAttr(None)

    @classmethod
    def from_verdicts(cls, verdicts: Verdicts, *, seconds: float, **facts: Any) -> Self:
        """Return a result whose numbers come from `verdicts`; `facts` are the fields that they do not determine."""
        facts = plain({key: fact.to_dict() if isinstance(fact, Part) else fact for key, fact in facts.items()})
        derived = details.derive(Constants(**facts["protocol"]), verdicts).to_dict()
        found = cls.model_validate(
            {
                "schema": RESULT_SCHEMA,
                "n": len(verdicts),
                "images_per_second": len(verdicts) / seconds,
                "seconds": seconds,
                "verdicts": {"file": VERDICTS_FILE, "sha256": verdicts.sha256},
                **({"details": derived} if derived else {}),
                **verdicts.scores(),
                **facts,
            }
        )
        found._verdicts = verdicts
        return found

    @classmethod
    def from_dict(cls, value: Any, folder: Path | None = None) -> Self:
        """Validate the JSON of a result.

        Args:
            folder: where the verdicts lie.

        Raises:
            AdvssError: it is not a result of this schema.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != RESULT_SCHEMA:
            raise AdvssError(
                f"The schema of a result must be {RESULT_SCHEMA}, got {reprlib.repr(schema)}.",
                "Upgrade advss-zoo, or evaluate again.",
            )
        try:
            result = cls.model_validate(value)
        except ValidationError as error:
            raise AdvssError(f"The result is not valid: {all_mistakes(error)}.") from error
        result._folder = folder
        return result

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a result file.

        Raises:
            AdvssError: the file is missing, damaged or of another schema.
        """
        try:
            return cls.from_dict(read_json(path), path.parent)
        except AdvssError as error:
            message = error.message if str(path) in error.message else f"{path}: {error.message}"
            raise AdvssError(message, error.hint) from error

    def write(self, path: Path) -> None:
        write_json(path, self.to_dict())
        self._folder = path.parent

    @property
    def folder(self) -> Path | None:
        """Where it was read from or written to."""
        return self._folder

    @property
    def verdicts(self) -> Verdicts:
        """
        Raises:
            AdvssError: they are missing, damaged or not those of this result.
        """
        if self._verdicts is None:
            if self._folder is None:
                raise AdvssError("The result was read without its folder, so its verdicts are unavailable.")
            # The name in the file is not followed: a result of someone else's must not choose what is read.
            path = self._folder / VERDICTS_FILE
            found = Verdicts.read(path)
            if found.sha256 != self.verdicts_file.sha256:
                raise AdvssError(
                    f"{path} (sha256 {found.sha256}) does not hold the verdicts that {RESULT_FILE} was made from."
                )
            self._verdicts = found
        return self._verdicts

    @property
    def baseline(self) -> Result | None:
        """The result that its corruption errors are relative to, where `evaluate` was given one; not in the file."""
        return self._baseline

    def relative_to(self, baseline: Result) -> Self:
        """Return this result with a `baseline`."""
        found = self.model_copy()
        found._baseline = baseline
        return found

    @property
    def experiment(self) -> Experiment:
        return Experiment(model=self.model, data=self.data, protocol=self.protocol, fingerprint=self.fingerprint)

    @property
    def warnings(self) -> list[str]:
        """What a reader should know before believing in its robust accuracy, a sentence each."""
        return details.warnings(self.details, self.n)

    def first(self, data: EvaluatedData) -> Self:
        """Return the result on `data`, which are the first of its images."""
        facts = {name: getattr(self, name) for name in ("model", "protocol", "seed", "device", "versions", "command")}
        facts |= {"date": self.date, "fingerprint": self.fingerprint, "data": data}
        return self.from_verdicts(self.verdicts.first(data.n), seconds=self.seconds * data.n / self.n, **facts)

    def slug(self) -> str:
        """Return a name for its folder among the results of one checkpoint: cifar10-pgd20."""
        return result_slug(self.data.name, self.protocol.label)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # documents are not hashable


def result_slug(data: str, label: str) -> str:
    """Return the `Result.slug` of a protocol with this label on these data."""
    return slug(f"{data}-{label}")


def check(path: Path) -> Result:
    """Return the result at `path`, its numbers derived again from the verdicts beside it.

    Raises:
        AdvssError: it is not a result, or the verdicts are not those of this result, or give other numbers.
    """
    result = Result.read(path)
    verdicts = result.verdicts
    for name, derived in {"n": len(verdicts), **verdicts.scores()}.items():
        if not _same(getattr(result, name), derived):
            raise AdvssError(f"{path} says {name} = {getattr(result, name)}, but its verdicts give {derived}.")
    stated, given = result.details.to_dict(), details.derive(result.protocol, verdicts).to_dict()
    for name in stated.keys() | given.keys():
        if stated.get(name) != given.get(name):
            raise AdvssError(
                f"{path} says details.{name} = {reprlib.repr(stated.get(name))}, "
                f"but its verdicts give {reprlib.repr(given.get(name))}."
            )
    return result


def _same(written: Any, derived: Any) -> bool:
    if written is None or derived is None:
        return written is derived
    # Versions of scipy may differ in the last digits of an interval; a verdict more or less is at least 1e-8.
    return bool(np.allclose(written, derived, rtol=0, atol=1e-9))
