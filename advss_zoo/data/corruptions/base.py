"""What a corruption is: a function of images and random numbers, with constants for five severities."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Philox, RandomState
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]  # (N, H, W, 3)
Values: TypeAlias = NDArray[Any]  # the same shape on the scale 0 to 255, truncated to Pixels in the end
Randoms: TypeAlias = Sequence[RandomState]  # one for each image
Row: TypeAlias = tuple[float, ...]  # a constant at the five severities

SEVERITIES = (1, 2, 3, 4, 5)
LARGE = 128  # pixels of the shorter side, from which on the constants are those of ImageNet-C


@dataclass(frozen=True)
class Corruption:
    """One of the corruptions of CIFAR-10-C and ImageNet-C; `extra` are the four that their means leave out.

    `table` holds two rows for each constant that `function` takes: that of CIFAR-10-C, and that of ImageNet-C.
    """

    name: str
    function: Callable[..., Values]
    table: dict[str, tuple[Row, Row]]
    extra: bool

    def constants(self, severity: int, *, large: bool = False) -> dict[str, float]:
        return {constant: rows[large][severity - 1] for constant, rows in self.table.items()}

    def __call__(self, images: Pixels, severity: int, randoms: Randoms) -> Pixels:
        """Corrupted images, as those given: uint8 (N, H, W, 3). Fractions are cut off, not rounded."""
        values = self.function(images, randoms, **self.constants(severity, large=are_large(images.shape[1:3])))
        return np.clip(values, 0, 255).astype(np.uint8)


def corruption(*, extra: bool = False, **table: tuple[Row, Row]) -> Callable[[Callable[..., Values]], Corruption]:
    """Make a function a corruption; `table` gives its constants, see `Corruption`."""
    return lambda function: Corruption(function.__name__, function, table, extra)


def are_large(sides: Sequence[int]) -> bool:
    """Tell whether images of these sides are corrupted with the constants of ImageNet-C, not those of CIFAR-10-C."""
    return min(sides) >= LARGE


def randoms_of(name: str, severity: int, index: Iterable[int], seed: int) -> list[RandomState]:
    """Return random numbers that belong to an image: a function of the four, whatever else is corrupted beside it.

    RandomState is the legacy generator because numpy has frozen its streams.
    """
    return [RandomState(Philox(key=_key(f"{seed} {name} {severity} {position}"))) for position in index]


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def drawn(randoms: Randoms, draw: Callable[[RandomState], Any]) -> NDArray[Any]:
    """Stack what `draw` returns for each image: (N, ...)."""
    return np.stack([draw(random) for random in randoms])
