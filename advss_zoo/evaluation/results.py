"""The result file: what was measured on what, and numbers that anyone can derive again from the verdicts."""

from __future__ import annotations

import platform
import reprlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL
import scipy
import torch
from pydantic import TypeAdapter, ValidationError

import advss_zoo
from advss_zoo.errors import AdvssError, all_mistakes
from advss_zoo.evaluation import details
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import read_json, slug, write_json

RESULT_SCHEMA = 1
RESULT_FILE = "result.json"
VERDICTS_FILE = "verdicts.npz"
# What is asked of every result beside its fields.
NAMED = (("model", "name"), ("data", "name"), ("protocol", "name"), ("protocol", "label"), ("verdicts", "sha256"))


@dataclass(frozen=True)
class Result:
    """One protocol on one model and data set; accuracies and their Wilson intervals are fractions."""

    model: dict[str, Any]  # name, sha256 (of the file), weights_sha256 (of what was evaluated)
    data: dict[str, Any]  # name, split, n, indices, content_sha256
    protocol: dict[str, Any]  # name, label, version and every constant
    seed: int
    n: int
    ta: float
    ra: float | None  # None where nothing was attacked
    ta_ci95: tuple[float, float]
    ra_ci95: tuple[float, float] | None
    images_per_second: float
    seconds: float  # spent on the n images, summed over all processes that took part
    device: str  # where several took part, all of them with commas between; versions likewise
    versions: dict[str, str]
    command: str
    date: str
    verdicts: dict[str, str]  # file, sha256
    fingerprint: str  # of all that determines the verdicts
    schema: int = RESULT_SCHEMA
    details: dict[str, Any] | None = None  # what else the verdicts say (see `details`); left out where that is nothing

    @classmethod
    def from_verdicts(cls, verdicts: Verdicts, *, seconds: float, **facts: Any) -> Self:
        """A result whose numbers come from `verdicts`; `facts` are the fields that they do not determine."""
        return cls(
            n=len(verdicts),
            images_per_second=len(verdicts) / seconds,
            seconds=seconds,
            verdicts={"file": VERDICTS_FILE, "sha256": verdicts.sha256},
            details=details.derive(facts["protocol"], verdicts),
            **verdicts.scores(),
            **facts,
        )

    def to_json(self) -> dict[str, Any]:
        value = {"schema": self.schema, **asdict(self)}
        return {key: item for key, item in value.items() if key != "details" or item is not None}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """
        Raises:
            AdvssError: it is not a result of this schema.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != RESULT_SCHEMA:
            raise AdvssError(
                f"This is no result of schema {RESULT_SCHEMA} (found {schema!r}).",
                "Upgrade advss-zoo, or evaluate again.",
            )
        names = {field.name for field in fields(cls)}
        if wrong := (set(value) ^ names) - {"details"}:
            raise AdvssError(f"A result has other fields than it should: {', '.join(sorted(wrong))}.")
        try:
            result = TypeAdapter(cls).validate_python(value)
        except ValidationError as error:
            raise AdvssError(f"A result is not as it should be: {all_mistakes(error)}.") from error
        for place, key in NAMED:
            if not isinstance(value[place].get(key), str):
                raise AdvssError(f"A result does not say its {place}'s {key}.")
        return result

    def slug(self) -> str:
        """A name for its folder among the results of one checkpoint: cifar10-pgd20."""
        return result_slug(self.data["name"], self.protocol["label"])

    def write(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Raises:
            AdvssError: the file is missing, damaged or of another schema.
        """
        try:
            return cls.from_json(read_json(path))
        except AdvssError as error:
            message = error.message if str(path) in error.message else f"{path}: {error.message}"
            raise AdvssError(message, error.hint) from error


def result_slug(data: str, label: str) -> str:
    """`Result.slug` of what a protocol with this label will give on these data."""
    return slug(f"{data}-{label}")


def check(path: Path) -> Result:
    """The result at `path`, its numbers derived again from the verdicts beside it.

    Raises:
        AdvssError: it is no result, or the verdicts are not those of this result, or give other numbers.
    """
    result = Result.read(path)
    # The name in the file is not followed: a result of someone else's must not choose what is read.
    verdicts = Verdicts.read(path.with_name(VERDICTS_FILE))
    if verdicts.sha256 != result.verdicts["sha256"]:
        raise AdvssError(f"The verdicts beside {path} are not those it was made from (sha256 {verdicts.sha256}).")
    for name, derived in {"n": len(verdicts), **verdicts.scores()}.items():
        if not _same(getattr(result, name), derived):
            raise AdvssError(f"{path} says {name} = {getattr(result, name)}, but its verdicts give {derived}.")
    try:
        derived = details.derive(result.protocol, verdicts)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise AdvssError(f"{path}: its verdicts are not those of its protocol ({error!r}).") from error
    if result.details != derived:
        said, given = reprlib.repr(result.details), reprlib.repr(derived)
        raise AdvssError(f"{path} says details = {said}, but its verdicts give {given}.")
    return result


def _same(written: Any, derived: Any) -> bool:
    if written is None or derived is None:
        return written is derived
    # Versions of scipy may differ in the last digits of an interval; a verdict more or less is at least 1e-8.
    return bool(np.allclose(written, derived, rtol=0, atol=1e-9))


def versions() -> dict[str, str]:
    """Of everything that a verdict can depend on; scipy and Pillow make corrupted images."""
    return {
        "advss_zoo": advss_zoo.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
    }


def describe_device(device: torch.device) -> str:
    """For example "cuda (NVIDIA H100)" or "cpu (2 threads)": on the number of threads the rounding can depend."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type
