"""Gaussian noise instead of an attack, as randomised smoothing trains (Cohen et al. 2019; the paper's Table 8)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from advss_zoo.adversaries.base import Adversary
from advss_zoo.noise import per_image_normal
from advss_zoo.threat import Loss


class GaussianNoise(Adversary):
    """Fresh noise for every image and epoch, in pixel units; not clipped to the box, as in Cohen et al."""

    name: Literal["noise"] = "noise"
    # The paper's main text does not say how strong; Cohen et al. use 0.12, 0.25, 0.5 and 1 on CIFAR-10.
    sigma: float = Field(0.25, gt=0)

    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        return x + self.sigma * per_image_normal(x.shape, index, seed, x.device)

    @property
    def passes(self) -> int:
        return 0
