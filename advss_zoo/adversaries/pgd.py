"""PGD-k inside the Linf ball (P3, F2, F4 of the paper: 10 steps of 2/255)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from advss_zoo.adversaries.base import LinfAdversary, Pixels
from advss_zoo.attacks.pgd import pgd
from advss_zoo.attacks.threat import Loss, ThreatModel


class Pgd(LinfAdversary):
    name: Literal["pgd"] = "pgd"
    steps: int = Field(10, ge=1)
    step_size: Pixels = Field(2 / 255, gt=0)

    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        threat = ThreatModel("linf", self.eps_at(progress))
        start = threat.random_start(x, index, seed)
        return pgd(loss, x, start, threat=threat, steps=self.steps, step_size=self.step_size)

    @property
    def passes(self) -> int:
        return self.steps
