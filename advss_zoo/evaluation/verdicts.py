"""What the model said about each image: the evidence that every number of a result is derived from."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.statistics import wilson_interval
from advss_zoo.files import read_bytes, write_bytes

Integers = NDArray[np.int32]
Evidence = NDArray[np.int8]
AnyInteger = TypeVar("AnyInteger", bound=np.signedinteger)
_ALWAYS = ("index", "label", "clean_prediction")
_ATTACKED = "attacked_prediction"
MOST_BYTES = 2**28  # unpacked, too: those of two million images
MOST_ARRAYS = 200
LONGEST_NAME = 400  # evidence may be named after a model
TAKEN = ("file", "allow_pickle")  # what np.savez calls its own arguments


class Scores(TypedDict):
    """Accuracy on clean and on attacked images with 95% intervals, as fractions; None where nothing was attacked."""

    ta: float
    ra: float | None
    ta_ci95: tuple[float, float]
    ra_ci95: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Four int32 arrays (n,), in the order of the data; `attacked_prediction` is None where nothing was attacked.

    `evidence` is what a protocol tells of each image beside the prediction (see `details`), int8 (n,) by name.
    """

    index: Integers
    label: Integers
    clean_prediction: Integers
    attacked_prediction: Integers | None
    evidence: dict[str, Evidence] = field(default_factory=dict)
    file_sha256: str | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdicts) and self.to_bytes() == other.to_bytes()

    @classmethod
    def joined(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Return those of all parts of an evaluation, in their order.

        Raises:
            UsageError: the evidence of one has other names than that of the first, as members of an ensemble may.
        """
        first = parts[0]
        for part in parts:
            if part.evidence.keys() != first.evidence.keys():
                names = " and ".join(", ".join(verdicts.evidence) or "nothing" for verdicts in (first, part))
                raise UsageError(
                    f"Verdicts with different evidence cannot be joined: {names}.",
                    "Use the same names for the members of the ensemble, or choose another folder.",
                )
        index, label, clean, attacked = map(_joined, zip(*(part._all for part in parts), strict=True))
        evidence = {name: np.concatenate([part.evidence[name] for part in parts]) for name in first.evidence}
        return cls(index, label, clean, attacked, evidence)

    def first(self, n: int) -> Verdicts:
        """Return those on the first `n` images, or all where there are fewer."""
        return self.at(slice(n))

    def at(self, places: slice | NDArray[np.int64]) -> Verdicts:
        """Return those at these places."""
        found: list[Any] = [None if array is None else array[places] for array in self._all]
        found.append({name: array[places] for name, array in self.evidence.items()})
        return Verdicts(*found)

    @property
    def _all(self) -> tuple[Integers | None, ...]:
        return self.index, self.label, self.clean_prediction, self.attacked_prediction

    @property
    def ta_hits(self) -> int:
        return int(self.right.sum())

    @property
    def ra_hits(self) -> int | None:
        return None if self.attacked_prediction is None else int(self.standing.sum())

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which images are classified correctly as they are."""
        right: NDArray[np.bool_] = self.clean_prediction == self.label
        return right

    @property
    def standing(self) -> NDArray[np.bool_]:
        """Which are right both before and after the attack: a mistake that needs no attack is not robustness.

        None of them where nothing was attacked.
        """
        return self.right & (self.attacked_prediction == self.label)

    def agreement(self, recorded: Verdicts) -> int:
        """Count the images with the same verdicts in `recorded`, which begins with the same images.

        What became of an image that is misclassified clean says nothing: protocols differ in whether they attack it.
        """
        same = np.ones(len(self), dtype=np.bool_)
        for mine, theirs in zip(self._all, recorded._all, strict=True):
            if mine is not None and theirs is not None:
                equal = mine == theirs[: len(self)]
                same &= equal | ~self.right if mine is self.attacked_prediction else equal
        for name in self.evidence.keys() & recorded.evidence.keys():
            same &= self.evidence[name] == recorded.evidence[name][: len(self)]
        return int(same.sum())

    def to_bytes(self) -> bytes:
        """Return the .npz file; equal verdicts give equal bytes, for it holds no dates and is not compressed.

        `numpy.savez` makes of them what the version of Python makes of sizes that are not known beforehand.
        """
        arrays: dict[str, Any] = dict(zip((*_ALWAYS, _ATTACKED), self._all, strict=True)) | self.evidence
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                if array is not None:
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array))
        return file.getvalue()

    @property
    def sha256(self) -> str:
        """Of the file that these were read from, whoever wrote it; of others, of the file that `write` writes."""
        return self.file_sha256 or hashlib.sha256(self.to_bytes()).hexdigest()

    def write(self, path: Path) -> None:
        write_bytes(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> Verdicts:
        """Read a file of verdicts.

        Raises:
            AdvssError: the file is missing or damaged.
        """
        content = read_bytes(path, MOST_BYTES)
        try:
            arrays = _arrays(content)
            index, label, clean = (_whole(arrays.pop(name), np.int32) for name in _ALWAYS)
            attacked = _whole(arrays.pop(_ATTACKED), np.int32) if _ATTACKED in arrays else None
            evidence = {name: _whole(array, np.int8) for name, array in arrays.items()}
        except Exception as error:  # numpy and zipfile have many ways to say that a file is damaged
            raise AdvssError(f"{path} does not hold verdicts ({error}).", "Delete it and evaluate again.") from error
        verdicts = cls(index, label, clean, attacked, evidence, hashlib.sha256(content).hexdigest())
        found: list[NDArray[Any]] = [*(array for array in verdicts._all if array is not None), *evidence.values()]
        if {array.shape for array in found} != {(index.size,)}:
            raise AdvssError(f"{path} holds arrays of different lengths.", "Delete it and evaluate again.")
        return verdicts

    def scores(self) -> Scores:
        ta, ra, n = self.ta_hits, self.ra_hits, len(self)
        return {
            "ta": ta / n,
            "ra": None if ra is None else ra / n,
            "ta_ci95": wilson_interval(ta / n, n),
            "ra_ci95": None if ra is None else wilson_interval(ra / n, n),
        }


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file; how much they unpack to is known before any is.

    Raises:
        ValueError: there are too many or they are too large, or one has a name that it could not be written under.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > MOST_BYTES:
        raise ValueError("arrays exceed the limits of verdicts")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        for name in file:
            if name in TAKEN or len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"invalid evidence name {name[:LONGEST_NAME]!r}")
        return dict(file)


def _whole(array: NDArray[Any], kind: type[AnyInteger]) -> NDArray[AnyInteger]:
    """The same numbers as integers of this kind.

    Raises:
        ValueError: there are none, or one is no such integer.
    """
    whole = array.astype(kind) if array.dtype.kind in "iu" else None
    if array.size == 0 or whole is None or not np.array_equal(whole, array):
        raise ValueError(f"expected integers, got {array.dtype} {array.shape}")
    return whole


def _joined(parts: Sequence[Integers | None]) -> Any:
    return None if any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]
