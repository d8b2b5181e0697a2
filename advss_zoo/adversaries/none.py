"""No adversary: standard training (P2, F1, F3)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from advss_zoo.adversaries.base import Adversary
from advss_zoo.threat import Loss


class NoAdversary(Adversary):
    name: Literal["none"] = "none"

    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        return x

    @property
    def passes(self) -> int:
        return 0
