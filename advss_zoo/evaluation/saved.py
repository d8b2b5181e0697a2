"""`advss eval --adversarial FILE`: images that were made to fool one model, judged by another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors
import torch
from torch import Tensor, nn

from advss_zoo.attacks.eps import check_eps
from advss_zoo.errors import DataError, UsageError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.evaluation.results import RESULT_FILE
from advss_zoo.evaluation.schema import Constants
from advss_zoo.files import check_not_pointer, explained, sha256_of, slug

MOST_HEADER = 2**20  # bytes, in which safetensors names its tensors: here four


@dataclass(frozen=True, eq=False)
class Saved(Protocol):
    """The images in a file that `--save-adv` left, found by their positions in the data.

    No name stands for it, so it lies outside the package in which protocols are found. Where the attack had a ball, the
    runner holds the images to it: those of other data do not lie there.
    """

    gradient: ClassVar[Gradient] = "unused"

    path: Path
    sha256: str  # of the file
    made_on: str
    made_by: str
    rows: dict[int, int]  # by position
    labels: tuple[int, ...]
    within: Ball | None
    name: str = "saved"
    seed: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a file of saved adversarial images.

        Raises:
            UsageError: it is not a file of this name with the result of its evaluation beside it.
            DataError: it is damaged.
            AdvssError: the result is not borne out by its verdicts.
        """
        if not (path.is_file() and path.with_name(RESULT_FILE).is_file()):
            raise UsageError(
                f"{path} does not hold adversarial images, or their {RESULT_FILE} is not in the same folder.",
                f"Give the {TENSORS_FILE} in a folder written by `advss eval NAME --save-adv`.",
            )
        result = results.check(path.with_name(RESULT_FILE))
        labels, index = _tensors(path)
        with explained("read", path):
            sha256 = sha256_of(path)
        return cls(
            path=path,
            sha256=sha256,
            made_on=result.model.name,
            made_by=result.protocol.label,
            rows={position: row for row, position in enumerate(index)},
            labels=tuple(labels),
            within=_ball(result.protocol),
        )

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        raise UsageError("Saved images cannot be selected with --attack.", "Use --adversarial FILE.")

    @property
    def ball(self) -> Ball | None:
        return self.within

    def constants(self) -> dict[str, Any]:
        size = {"norm": self.within.norm, "eps": self.within.eps} if self.within else {}
        made = {"made_by": self.made_by, "made_on": self.made_on, "file_sha256": self.sha256}
        return super().constants() | size | made

    def label(self) -> str:
        return f"saved {self.made_by} on {self.made_on}"

    def slug(self) -> str:
        return slug(f"{self.label()} {self.sha256[:8]}")

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        missing = [position for position in index.tolist() if position not in self.rows]
        if missing:
            raise UsageError(
                f"{self.path} has {len(self.rows):,} images, but not image {missing[0]:,} of the data.",
                "Use the same --data and at most the same --limit.",
            )
        rows = [self.rows[position] for position in index.tolist()]
        if [self.labels[row] for row in rows] != y.tolist():
            raise DataError(f"The labels in {self.path} differ from those of the data: it was made from other images.")
        with safetensors.safe_open(self.path, framework="pt") as file:
            x_adv = file.get_slice("x_adv")
            found = torch.cat([x_adv[row : row + 1] for row in rows])
        if found.shape != x.shape or found.dtype != torch.float32:
            sides = "x".join(map(str, found.shape[1:]))
            raise DataError(
                f"The images in {self.path} have shape {sides}, those of the data {'x'.join(map(str, x.shape[1:]))}."
            )
        return found.to(x.device)


def _tensors(path: Path) -> tuple[list[int], list[int]]:
    """Labels and positions of the images, one each.

    Raises:
        DataError: they are not there, or it is no such file.
        AdvssError: it cannot be read, or is a Git LFS pointer.
    """
    check_not_pointer(path)
    try:
        with path.open("rb") as content:
            if int.from_bytes(content.read(8), "little") > MOST_HEADER:
                raise ValueError(f"header size exceeds the limit of {MOST_HEADER}")
        with safetensors.safe_open(path, framework="pt") as file:
            n, *_ = file.get_slice("x_adv").get_shape()
            found: list[list[int]] = [file.get_tensor(name).long().tolist() for name in ("label", "index")]
        if not n or {len(numbers) for numbers in found} != {n} or len(set(found[1])) < n:
            raise ValueError("labels or positions do not match the images")
    except Exception as error:  # safetensors and torch have many ways to say that a file is damaged
        raise DataError(f"{path} does not hold adversarial images ({error}).") from error
    return found[0], found[1]


def _ball(protocol: Constants) -> Ball | None:
    """What the images were held to, as the result says.

    Raises:
        UsageError: there are no perturbations of that size.
    """
    if protocol.norm is None or protocol.eps is None:
        return None
    return Ball(protocol.norm, check_eps(protocol.eps, protocol.norm))
