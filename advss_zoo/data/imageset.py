"""Labelled images, in memory or in a file that is mapped into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from advss_zoo.data import digests
from advss_zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one split, or a part of them; it unpacks into float images in [0,1] and labels, as tensors.

    `images` is uint8 (N, 3, H, W), `labels` int64 (N,), `index` int64 (N,): the position of each image in the
    official split, which stays with it through `first` and `take`. `classes[label]` is the name of a label.
    `images` may be a read-only view of a file larger than memory: `first` leaves it so, `take` copies what is taken.
    `held_out`: how many of them, the first, are for validation; None where that is not a property of the images.
    `value_range`: what is 0 and 255 here of files with more than 8 bits; None where there are none.
    `present`: of how many of the classes there may be images; None where of all.
    `sha256`: uint8 (N, 16), the beginning of that of each decoded picture; None where it is not known.

    Raises:
        DataError: the arrays do not fit together, or a label has no class.
    """

    name: str
    split: Split
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    index: NDArray[np.int64]
    classes: tuple[str, ...]
    held_out: int | None = None
    value_range: tuple[float, float] | None = None
    present: int | None = None
    sha256: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise DataError(f"{self.name}: images are {_described(self.images)}, expected uint8 (N, 3, H, W).")
        for what in ("labels", "index"):
            array = getattr(self, what)
            if array.dtype != np.int64 or array.shape != (n,):
                raise DataError(f"{self.name}: {what} are {_described(array)}, expected int64 ({n},).")
        if n and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            found = f"{self.labels.min()} to {self.labels.max()}"
            raise DataError(f"{self.name}: labels go from {found}, but there are {len(self.classes)} classes.")

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        """float32 (N,3,H,W) in [0,1], then int64 (N,)."""
        import torch

        from advss_zoo.data.pixels import in_unit_range

        yield in_unit_range(torch.from_numpy(np.array(self.images)))
        yield torch.from_numpy(np.array(self.labels))

    def loader(self, batch_size: int, **settings: Any) -> DataLoader[Any]:
        """Load batches of float images (B,3,H,W) in [0,1] and labels (B,), which are read as they are asked for.

        Args:
            settings: of `torch.utils.data.DataLoader`, such as shuffle or num_workers.
        """
        from torch.utils.data import DataLoader

        return DataLoader(_Samples(self), batch_size, **settings)  # type: ignore[arg-type]  # it needs no more than that

    @cached_property
    def content_sha256(self) -> str:
        return digests.of_images(self.images, self.labels)

    def first(self, n: int) -> ImageSet:
        """Return the first `n` images, or all where there are fewer.

        Raises:
            UsageError: `n` is less than 1.
        """
        if n < 1:
            raise UsageError(f"At least one image is needed, got {n}.")
        return self._rows(slice(n))

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """Return the images at `positions` in this set, in that order.

        Raises:
            UsageError: a position lies outside this set.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if len(outside):
            raise UsageError(
                f"Position {outside[0]} is outside the {len(self):,} images of {self.name} ({self.split})."
            )
        return self._rows(chosen)

    def _rows(self, rows: slice | NDArray[np.int64]) -> ImageSet:
        sha256 = None if self.sha256 is None else self.sha256[rows]
        return replace(self, images=self.images[rows], labels=self.labels[rows], index=self.index[rows], sha256=sha256)


@dataclass(frozen=True)
class _Samples:
    images: ImageSet

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        images, labels = self.images.take([row])
        return images[0], labels[0]


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
