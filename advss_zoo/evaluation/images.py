"""What is evaluated: an ImageSet, or a user's own arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advss_zoo.data import digests
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.pixels import in_unit_range
from advss_zoo.errors import DataError
from advss_zoo.evaluation.schema import EvaluatedData
from advss_zoo.files import plain

# (images, labels): uint8 or float in [0,1] of shape (N,C,H,W), and integers of shape (N,).
Arrays: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Images:
    """Images (N,C,H,W), uint8 or float32 in [0,1], with labels and index, int64 (N,).

    `classes` is None where their number is not known, `present` where there may be images of all of them. `order` holds
    the places (N,) of the images in the order in which passes take them; None: as they lie.
    """

    name: str
    split: str | None
    pixels: NDArray[Any]
    labels: NDArray[np.int64]
    index: NDArray[np.int64]
    classes: int | None
    content_sha256: str
    present: int | None = None
    order: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def facts(self) -> EvaluatedData:
        """How a result names them."""
        partial = {} if self.present is None else {"classes": self.present, "outputs": self.classes}
        return EvaluatedData(
            name=plain(self.name),
            split=self.split,
            n=len(self),
            indices=_describe_indices(self.index),
            content_sha256=self.content_sha256,
            **partial,
        )

    @property
    def places(self) -> NDArray[np.int64]:
        """Where the images lie that passes take first, second, ..., (N,)."""
        return np.arange(len(self)) if self.order is None else self.order

    def batch(self, rows: range, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return x float32 (B,C,H,W) in [0,1], y (B,) and index (B,) of the images that passes take at `rows`."""
        chosen = list(rows) if self.order is None else self.order[rows.start : rows.stop]
        x = torch.from_numpy(self.pixels[chosen]).to(device)
        x = in_unit_range(x) if x.dtype == torch.uint8 else x
        y, index = (torch.from_numpy(array[chosen]).to(device) for array in (self.labels, self.index))
        return x, y, index


def as_images(data: ImageSet | Images | Arrays) -> Images:
    """Describe what is to be evaluated.

    Raises:
        DataError: there is nothing to evaluate, or arrays are not what `Arrays` says.
    """
    if isinstance(data, Images):
        images = data
    elif isinstance(data, ImageSet):
        facts = data.name, data.split, data.images, data.labels, data.index, len(data.classes), data.content_sha256
        images = Images(*facts, present=data.present)
    else:
        pixels, labels = _pixels(data[0]), _labels(data[1])
        if len(pixels) != len(labels):
            raise DataError(f"Got {len(pixels):,} images but {len(labels):,} labels.")
        index = np.arange(len(pixels), dtype=np.int64)
        images = Images("arrays", None, pixels, labels, index, None, digests.of_images(pixels, labels))
    if not len(images):
        raise DataError(f"{images.name} contains no images.", "At least one is needed.")
    return images


def _describe_indices(index: NDArray[np.int64]) -> str:
    if np.array_equal(index, np.arange(len(index))):
        return f"first {len(index)}"
    return f"{len(index)} of them, sha256 {hashlib.sha256(index.astype('<i8').data).hexdigest()}"


def _pixels(images: Any) -> NDArray[Any]:
    """uint8 as it is; any float as float32, whose values need not be those of an 8-bit image."""
    array = _tensor(images, "Images")
    if array.ndim != 4 or (array.shape[1] not in (1, 3) and array.shape[-1] in (1, 3)):
        raise DataError(f"Images have shape {tuple(array.shape)}, expected (N, channels, height, width).")
    if array.dtype == torch.uint8:
        return np.ascontiguousarray(array.numpy())
    if not array.is_floating_point():
        raise DataError(f"Images are {array.dtype}, expected uint8 or float in [0, 1].", "Convert them to uint8.")
    array = array.float()
    low, high = (array.min().item(), array.max().item()) if array.numel() else (0.0, 0.0)
    if not 0 <= low <= high <= 1:
        eight_bit = low >= 0 and 2 < high <= 255
        normalised = "Give images before normalisation; the model normalises them."
        hint = "Divide them by 255." if eight_bit else normalised
        raise DataError(f"Images hold values from {low:.4g} to {high:.4g}, expected [0, 1].", hint)
    return np.ascontiguousarray(array.numpy())


def _labels(labels: Any) -> NDArray[np.int64]:
    array = _tensor(labels, "Labels")
    if array.ndim != 1 or array.is_floating_point() or array.is_complex() or array.dtype == torch.bool:
        raise DataError(
            f"Labels are {array.dtype} of shape {tuple(array.shape)}, expected integers of shape (N,).",
            "Give one class number per image.",
        )
    return array.to(torch.int64).numpy()


def _tensor(values: Any, what: str) -> Tensor:
    try:
        # A copy: torch takes no numpy arrays with negative strides, and warns of read-only ones.
        return torch.as_tensor(values if isinstance(values, Tensor) else np.array(values)).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{what} are not an array of numbers: {error}", "Give numpy arrays or torch tensors."
        ) from error
