"""`corruptions`: accuracy on images as weather, lenses, sensors and files spoil them, 19 ways at 5 severities each.

The corruptions are those of Hendrycks and Dietterich (ICLR 2019) with the constants of CIFAR-10-C, and for large images
those of ImageNet-C. `corruptions` makes them, of any images; `corruptions-archive` reads the published ones of CIFAR.
Nobody attacks, so there is no RA: which of its 95 corrupted versions an image is classified correctly in is evidence,
and the numbers of the result follow from it (see `details`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advss_zoo.attacks.checks import predict
from advss_zoo.data import catalogue
from advss_zoo.data.corruptions import BENCHMARK, CORRUPTIONS, archive, corrupt
from advss_zoo.data.corruptions.archive import ARCHIVES
from advss_zoo.data.corruptions.base import SEVERITIES, are_large
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.pixels import in_unit_range
from advss_zoo.errors import DataError, UsageError
from advss_zoo.evaluation.images import Images, as_images
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.evaluation.results import RESULT_FILE, Result, check
from advss_zoo.evaluation.schema import Constants


@dataclass(frozen=True)
class Corrupted(Protocol):
    """What both have in common; each corruption of a pass is a part of its own."""

    gradient: ClassVar[Gradient] = "unused"
    makes_images: ClassVar[bool] = False
    has_baseline: ClassVar[bool] = True

    name: str
    seed: int = 0

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        return cls(name, settings.seed)

    def constants(self) -> dict[str, Any]:
        extra = [name for name in CORRUPTIONS if name not in BENCHMARK]
        return super().constants() | {
            **self._source(),
            "corruptions": {"benchmark": list(BENCHMARK), "extra": extra},
            "severities": len(SEVERITIES),
        }

    @property
    def passes(self) -> float:
        """A forward pass is a third of one with gradient; making the images is not counted."""
        return 1.0 + len(CORRUPTIONS) * len(SEVERITIES) / 3

    @abstractmethod
    def _source(self) -> dict[str, Any]:
        """Where the corrupted images come from, for the constants."""

    @abstractmethod
    def _corrupted(self, x: Tensor, y: Tensor, index: Tensor, name: str, severity: int) -> NDArray[np.uint8]:
        """The images (B,3,H,W) at `index`, labelled y, under one corruption."""

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> None:
        """Record an integer for each corruption and image, whose bit s - 1 says whether it is right at severity s."""
        record = record or Record()
        for name in CORRUPTIONS:
            right = partial(self._right, name, model, x, y, index)
            record.evidence[name] = record.part(name, of=index, compute=right)

    def _right(self, name: str, model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        bits = torch.zeros_like(y)
        for place, severity in enumerate(SEVERITIES):
            pixels = torch.from_numpy(self._corrupted(x, y, index, name, severity)).to(x.device)
            bits |= (predict(model, in_unit_range(pixels)) == y).long() << place
        return bits


@dataclass(frozen=True)
class Generated(Corrupted):
    """Images corrupted here; images that are not of 8 bits are rounded first. `seed` is the seed of the corruptions."""

    pattern: ClassVar[str] = "corruptions"
    examples: ClassVar[tuple[str, ...]] = ("corruptions",)

    large: bool = False  # are the constants those of ImageNet-C?

    def for_images(self, shape: Sequence[int]) -> Self:
        return replace(self, large=are_large(shape[1:]))

    def _source(self) -> dict[str, Any]:
        of = {"constants": "ImageNet-C"} if self.large else {}
        return {"source": "generated", "seed": self.seed, **of}

    def _corrupted(self, x: Tensor, y: Tensor, index: Tensor, name: str, severity: int) -> NDArray[np.uint8]:
        pixels = (x * 255).round().to(torch.uint8).cpu().numpy()
        return corrupt(pixels, name, severity, index.cpu().numpy(), self.seed)


@dataclass(frozen=True)
class Published(Corrupted):
    """The images of CIFAR-10-C or CIFAR-100-C, whichever has as many classes; nothing is random."""

    pattern: ClassVar[str] = "corruptions-archive"
    examples: ClassVar[tuple[str, ...]] = ("corruptions-archive",)

    dataset: str = "cifar10"

    def for_classes(self, classes: int) -> Self:
        """Choose the archive for a number of classes.

        Raises:
            UsageError: there is no archive of a data set with so many classes.
            DataError: the archive is not on this machine.
        """
        for dataset, published in ARCHIVES.items():
            if len(published.dataset.classes) == classes:
                archive.locate(dataset)
                return replace(self, dataset=dataset)
        raise UsageError(
            f"Corrupted images of {classes} classes are not published.",
            "Use --attack corruptions, which generates them from any images.",
        )

    def _source(self) -> dict[str, Any]:
        published = ARCHIVES[self.dataset]
        return {"source": "archive", "archive": published.title, "url": published.url}

    def _corrupted(self, x: Tensor, y: Tensor, index: Tensor, name: str, severity: int) -> NDArray[np.uint8]:
        published = archive.read(self.dataset, name, severity)
        positions = index.cpu().numpy()
        if positions.max() >= len(published) or (published.labels[positions] != y.cpu().numpy()).any():
            title = ARCHIVES[self.dataset].title
            raise DataError(
                f"{title} needs the test images of {self.dataset}, got other images.",
                "Use --attack corruptions, which generates them from any images.",
            )
        return published.images[positions]


def mean_corruption_error(result: Result, baseline: Result) -> float:
    """Compute mCE (Hendrycks and Dietterich): the error over that of the baseline, mean over the benchmark.

    Args:
        result, baseline: of one of the protocols here, on the same images.

    Raises:
        UsageError: they are not, or the baseline makes no error under some corruption.
    """
    names = result.protocol.corruptions
    if names is None or _compared(result) != _compared(baseline):
        raise UsageError("mCE needs two results of the same `corruptions` protocol on the same images.")
    ours, theirs = result.details.corruptions, baseline.details.corruptions
    errors = [(_error(ours[name]), _error(theirs[name])) for name in names.benchmark]
    if not all(reference for _, reference in errors):
        raise UsageError(f"mCE is undefined: {baseline.model.name} makes no errors under some corruption.")
    return fmean(error / reference for error, reference in errors)


def _error(accuracies: Sequence[float]) -> float:
    """Summed over severities."""
    return math.fsum(1 - accuracy for accuracy in accuracies)


def find_baseline(folder: Path, protocol: Protocol, images: ImageSet | Images) -> Result:
    """Return the result of `protocol` on these images that lies somewhere below `folder`, perhaps cut from one on
    more images.

    Raises:
        UsageError: there is none, or there are some of several models.
        AdvssError: a result there is damaged.
    """
    recorded = {path: Result.read(path) for path in sorted(folder.rglob(RESULT_FILE))}
    constants = Constants(**protocol.constants())
    of_protocol = [path for path, result in recorded.items() if result.protocol == constants]
    found = [result for path in of_protocol if (result := _on(as_images(images), path, recorded[path]))]
    if not found:
        raise UsageError(
            f"{folder} contains no result of {protocol.label()} on these images.",
            f"Evaluate the baseline with --attack {protocol.name} on the same images, "
            "then give the folder of its results as --baseline DIR.",
        )
    models = {result.model.weights_sha256: result.model.name for result in found}
    if len(models) > 1:
        named = " and ".join(models.values())
        raise UsageError(
            f"{folder} contains results of {protocol.label()} for {named}.", "Give the folder of one model."
        )
    return found[0]


def _on(images: Images, path: Path, recorded: Result) -> Result | None:
    """The result at `path`, on these images alone; None where it is on others, or that cannot be told.

    Of a data set that is the same everywhere, name, positions and labels say what the images are.
    """
    if recorded.data.content_sha256 == images.content_sha256:
        return check(path)
    whole = catalogue.whole(images.name)
    if whole is None or whole != catalogue.whole(recorded.data.name) or images.split != recorded.data.split:
        return None
    verdicts = recorded.verdicts.first(len(images))
    if not (np.array_equal(verdicts.index, images.index) and np.array_equal(verdicts.label, images.labels)):
        return None
    return check(path).first(images.facts)


def _compared(result: Result) -> tuple[Any, ...]:
    return result.protocol, result.data.content_sha256, result.data.indices
