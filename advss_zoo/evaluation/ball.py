"""What adversarial images are held to: a ball around the clean image, inside the range of pixel values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advss_zoo.texts import format_eps

Norm = Literal["linf", "l2", "l1"]
ORDERS: dict[Norm, int] = {"l2": 2, "l1": 1}

# What CIFAR-10 is attacked with in the literature: Linf and l2 as in RobustBench, l1 as in Croce and Hein 2021.
DEFAULT_EPS: dict[Norm, float] = {"linf": 8 / 255, "l2": 0.5, "l1": 12.0}

# float32 x + eps lies up to 2.6e-8 outside the ball; for a norm over all pixels errors grow with its size.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Ball:
    """All x' in [0,1] with ||x' - x|| <= eps, the norm taken over each image; eps is in pixel values in [0,1]."""

    norm: Norm = "linf"
    eps: float = DEFAULT_EPS["linf"]

    @property
    def limit(self) -> float:
        """How far an image may be from the clean one: eps, and what rounding adds to it."""
        return self.eps + TOLERANCE * max(1.0, self.eps)

    def distances(self, adversarial: Tensor, x: Tensor) -> Tensor:
        """Return ||adversarial - x|| of each image, float64 (B,)."""
        if self.norm == "linf":  # where no errors add up
            return (adversarial - x).abs_().flatten(1).amax(dim=1).double()
        delta = (adversarial.double() - x.double()).flatten(1)
        return torch.linalg.vector_norm(delta, ord=ORDERS[self.norm], dim=1)

    def contains(self, adversarial: Tensor, x: Tensor) -> Tensor:
        """Return which of the images (B,C,H,W) lie in the ball around x and in the box, bool (B,); NaN lies nowhere."""
        pixels = adversarial.flatten(1)
        in_box = (pixels.amin(dim=1) >= 0) & (pixels.amax(dim=1) <= 1)
        return in_box & (self.distances(adversarial, x) <= self.limit)

    def describe(self) -> list[str]:
        """Return what differs from the paper's threat model, for a label: nothing, or "l2, eps 0.5"."""
        return [] if self == Ball() else [f"{self.norm}, eps {format_eps(self.eps)}"]
