"""Linf, L2 and L1: pixels move inside a ball. eps and the variables are in pixel values of 255."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen
from advss_zoo.attacks.kang2019.regions import L1Ball, L2Ball, LinfBall, PerturbationBall


class Pixels(Unforeseen, ABC):
    """x + v/255. As published, the start is not clipped to the box of images; every step is."""

    ball: ClassVar[type[PerturbationBall]]
    region: PerturbationBall

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        self.region = self.ball(eps, low=-255 * x, high=255 - 255 * x)

    def start(self) -> Tensor:
        return self.region.random_start(torch.zeros_like(self.x), self.index, self.seed)

    def images(self, v: Tensor) -> Tensor:
        return self.x + v / 255


class Linf(Pixels):
    name = "linf"
    ball = LinfBall


class L2(Pixels):
    name = "l2"
    ball = L2Ball


class L1(Pixels):
    """Frank-Wolfe. The published command line takes eps divided by the number of pixel values, 3072; here it is whole.

    Where a vertex cannot use up the whole radius, the published code lets its last pixel leave the box; here it stays.
    """

    name = "l1"
    ball = L1Ball
