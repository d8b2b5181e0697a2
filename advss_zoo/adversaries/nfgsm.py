"""Noise-FGSM (de Jorge et al. 2022, arXiv 2202.01181): one step from strong noise, at the price of two passes.

The start is uniform in twice the ball and, unlike in FGSM-RS, the result is not projected back onto the ball, which is
what keeps single-step training from catastrophic overfitting. The result is clipped to the box of images.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from advss_zoo.adversaries.base import BallAdversary
from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.threat import Loss, ThreatModel

NOISE_RADIUS = 2  # in units of eps, the authors' choice for CIFAR-10


class NoiseFgsm(BallAdversary):
    name: Literal["n-fgsm"] = "n-fgsm"

    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        eps = self.eps_at(progress)
        noisy = ThreatModel("linf", NOISE_RADIUS * eps).random_start(x, index, seed)
        return (noisy + eps * input_gradient(loss, noisy).sign()).clamp(0, 1).detach()

    @property
    def passes(self) -> int:
        return 1
