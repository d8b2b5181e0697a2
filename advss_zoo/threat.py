"""The threat model: which perturbations count, and how to stay among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advss_zoo.noise import per_image_normal, per_image_uniform

Norm = Literal["linf", "l2"]

# Added to a seed, it gives numbers that no other seed in use gives: seeds are below 2**61.
_RADIUS_STREAM = 1 << 62

# What an attack maximises: adversarial images (B,3,H,W) to the sum over the batch of each image's loss.
Loss = Callable[[Tensor], Tensor]
Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ThreatModel:
    """All x' in [0,1] with ||x' - x|| <= eps, the norm taken over each image.

    eps is in units of pixel values in [0,1]: 8/255 for the paper's Linf threat (section 4.1).
    """

    norm: Norm = "linf"
    eps: float = 8 / 255

    def projection(self, x: Tensor) -> Projection:
        """Return what projects images (B,3,H,W) onto the ball around those of `x`, then clips them to the box.

        It may overwrite what it is given, which saves a pass over memory at each step.
        """
        if self.norm == "linf":
            low, high = (x - self.eps).clamp_(0, 1), (x + self.eps).clamp_(0, 1)
            return lambda z: torch.clamp(z, low, high, out=z)

        def project(z: Tensor) -> Tensor:
            delta = z - x
            scale = (self.eps / _norms(delta).clamp_min(1e-12)).clamp_max(1)
            return torch.clamp(x + delta * scale, 0, 1)

        return project

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest ascent of unit length: the sign, or the gradient over its norm. 0 where it is 0."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / _norms(gradient).clamp_min(1e-12)

    def random_start(self, x: Tensor, index: Tensor, seed: int) -> Tensor:
        """Add a uniform draw from the ball to x, by `seed` and each image's `index` (B,) alone.

        Not clipped to the box, as in the paper's released attack: the first projection does that.
        """
        if self.norm == "linf":
            drawn = per_image_uniform(x.shape, index, seed, x.device)
            return x + drawn.mul_(2).sub_(1).mul_(self.eps)
        direction = per_image_normal(x.shape, index, seed, x.device)
        dimensions = x[0].numel()
        radius = per_image_uniform((len(x), 1, 1, 1), index, seed + _RADIUS_STREAM, x.device) ** (1 / dimensions)
        return x + direction / _norms(direction) * radius * self.eps


def _norms(x: Tensor) -> Tensor:
    """Euclidean norm of each image, shape (B,1,1,1)."""
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
