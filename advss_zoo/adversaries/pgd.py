"""PGD-k inside the Linf ball (P3, F2, F4 of the paper: 10 steps of 2/255), or the L2 ball."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor

from advss_zoo.adversaries.base import BallAdversary, Pixels
from advss_zoo.attacks.ascent import ascend
from advss_zoo.threat import Loss, Norm, ThreatModel


class Pgd(BallAdversary):
    """In the L2 norm sizes are lengths of the whole perturbation, which may exceed 1."""

    name: Literal["pgd"] = "pgd"
    norm: Norm = "linf"
    eps: Pixels = Field(8 / 255, gt=0)
    steps: int = Field(10, ge=1)
    step_size: Pixels = Field(2 / 255, gt=0)

    @model_validator(mode="after")
    def _no_more_than_a_pixels_range(self) -> Pgd:
        if self.norm == "linf" and self.eps > 1:
            raise ValueError("an `eps` above 1 is more than all of a pixel's range; with norm: l2 it may be")
        return self

    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        threat = ThreatModel(self.norm, self.eps_at(progress))
        start = threat.random_start(x, index, seed)
        return ascend(loss, x, start, threat=threat, steps=self.steps, step_size=self.step_size)

    @property
    def passes(self) -> int:
        return self.steps
