"""What changes in the course of training: phases one after the other, and the learning rate within one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Phase(Protocol):
    """A part of training that lasts until the fraction `until` of all steps."""

    @property
    def until(self) -> float: ...


AnyPhase = TypeVar("AnyPhase", bound=Phase)


def phase_at(phases: Sequence[AnyPhase], progress: float) -> tuple[AnyPhase, float, float]:
    """The phase of a moment of training, progress in [0,1), and the fractions at which it begins and ends."""
    begin = 0.0
    for phase in phases:
        if progress < phase.until:
            break
        begin = phase.until
    return phase, begin, phase.until


class OneCycle(BaseModel):
    """The learning rate: linear from 0 to `peak` over the fraction `warmup` of the cycle, then linear to 0.

    Several cycles are warm restarts (Loshchilov and Hutter 2017, arXiv 1608.03983).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    peak: float = Field(gt=0)
    warmup: float = Field(0.15, gt=0, lt=1)
    until: float = Field(1.0, gt=0, le=1)

    def __call__(self, progress: float) -> float:
        """The rate where `progress`, in [0,1], of the cycle is over."""
        if progress < self.warmup:
            return self.peak * progress / self.warmup
        return self.peak * (1 - progress) / (1 - self.warmup)


def learning_rate(cycles: Sequence[OneCycle], step: int, total_steps: int) -> float:
    """The rate of a step, counted from 0; neither the first nor the last of a cycle has a rate of 0."""
    cycle, begin, end = phase_at(cycles, step / total_steps)
    first, last = round(begin * total_steps), round(end * total_steps)
    return cycle((step - first + 1) / (last - first + 1))
