"""Learning rates as functions of how much of the training is over."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OneCycle(BaseModel):
    """Linear from 0 to `peak` over the fraction `warmup` of training, then linear to 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["one-cycle"] = "one-cycle"
    peak: float = Field(gt=0)
    warmup: float = Field(0.15, gt=0, lt=1)

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return self.peak * progress / self.warmup
        return self.peak * (1 - progress) / (1 - self.warmup)
