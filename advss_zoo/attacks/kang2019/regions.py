"""Where an attack's variables may be, and how one step moves them there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advss_zoo.noise import per_image_uniform
from advss_zoo.threat import Norm, ThreatModel

# What single precision may add to a size of 1, and to the bounds of a variable in units of the radius or 1.
TOLERANCE = 1e-5
UNBOUNDED = torch.tensor(math.inf)


class Region(ABC):
    """A convex set of variables (B,...), the same kind for each image."""

    @abstractmethod
    def advance(self, v: Tensor, gradient: Tensor, t: int, step_size: float) -> Tensor:
        """Return variables in the region after step number t = 0, 1, ... from v."""

    @abstractmethod
    def size(self, v: Tensor) -> Tensor:
        """Return the size of each image's variables, (B,): 1 is the border of the region, inf beyond a bound."""


@dataclass(frozen=True, eq=False)
class PerturbationBall(Region, ABC):
    """All v with ||v|| <= eps and low <= v <= high, where low <= 0 <= high have a shape that broadcasts to v's."""

    eps: float
    low: Tensor = -UNBOUNDED
    high: Tensor = UNBOUNDED

    order: ClassVar[float]

    @abstractmethod
    def random_start(self, zero: Tensor, index: Tensor, seed: int) -> Tensor:
        """Draw uniformly from the ball, ignoring the bounds, in the shape of `zero`."""

    def size(self, v: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(v.flatten(1).double(), ord=self.order, dim=1) / self.eps
        slack = TOLERANCE * max(1.0, self.eps)
        outside = ((v < self.low - slack) | (v > self.high + slack)).flatten(1).any(dim=1)
        return norm.masked_fill(outside, math.inf)


@dataclass(frozen=True, eq=False)
class ProjectedBall(PerturbationBall, ABC):
    """Steps of steepest ascent, each projected onto the ball and then clipped to the bounds."""

    norm: ClassVar[Norm]

    def random_start(self, zero: Tensor, index: Tensor, seed: int) -> Tensor:
        return ThreatModel(self.norm, self.eps).random_start(zero, index, seed)

    def advance(self, v: Tensor, gradient: Tensor, t: int, step_size: float) -> Tensor:
        direction = ThreatModel(self.norm, self.eps).direction(gradient)
        moved = self.onto_ball(v + step_size * direction)
        return torch.maximum(torch.minimum(moved, self.high), self.low)

    @abstractmethod
    def onto_ball(self, v: Tensor) -> Tensor:
        """Return the nearest point of the ball."""


@dataclass(frozen=True, eq=False)
class LinfBall(ProjectedBall):
    norm: ClassVar[Norm] = "linf"
    order: ClassVar[float] = math.inf

    def onto_ball(self, v: Tensor) -> Tensor:
        return v.clamp(-self.eps, self.eps)


@dataclass(frozen=True, eq=False)
class L2Ball(ProjectedBall):
    norm: ClassVar[Norm] = "l2"
    order: ClassVar[float] = 2

    def onto_ball(self, v: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True)
        return v * (self.eps / length.clamp_min(1e-12)).clamp_max(1)


@dataclass(frozen=True, eq=False)
class L1Ball(PerturbationBall):
    """Frank-Wolfe: the result is the mean of the best vertices for all gradients, so no step size enters.

    The start determines the first gradient and is then left behind.
    """

    order: ClassVar[float] = 1

    def random_start(self, zero: Tensor, index: Tensor, seed: int) -> Tensor:
        """Draw uniformly: signed exponentials over their sum plus one more (Barthe et al. 2005, theorem 1)."""
        entries = zero[0].numel()
        # Double, as single-precision logarithms are rounded differently at different places of a batch.
        uniform = per_image_uniform((len(zero), 2 * entries + 1), index, seed, zero.device).double()
        exponentials = -torch.log1p(-uniform[:, : entries + 1])
        signs = torch.where(uniform[:, entries + 1 :] < 0.5, -1.0, 1.0)
        start = self.eps * signs * exponentials[:, 1:] / exponentials.sum(dim=1, keepdim=True)
        return start.view_as(zero).to(zero.dtype)

    def advance(self, v: Tensor, gradient: Tensor, t: int, step_size: float) -> Tensor:
        return torch.lerp(v, self.vertex(gradient), 1 / (t + 1))

    def vertex(self, gradient: Tensor) -> Tensor:
        """Return the v of the region with the largest inner product with the gradient.

        Entries go to their bounds in the order of their derivatives until the radius is used up.
        """
        reach = torch.where(gradient > 0, self.high, -self.low).flatten(1).double()
        order = gradient.abs().flatten(1).argsort(dim=1, descending=True, stable=True)
        reach = reach.gather(1, order)
        before = reach.cumsum(dim=1) - reach
        moves = torch.zeros_like(reach).scatter(1, order, torch.minimum((self.eps - before).clamp_min(0), reach))
        return moves.view_as(gradient).to(gradient.dtype) * gradient.sign()
