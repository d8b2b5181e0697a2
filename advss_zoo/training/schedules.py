"""What changes in the course of training: phases one after the other, and the learning rate within one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Phase(Protocol):
    """A part of training that lasts until the fraction `until` of all steps.

    Steps, not time: a step on small images, or without an attack, is shorter.
    """

    @property
    def until(self) -> float: ...


AnyPhase = TypeVar("AnyPhase", bound=Phase)


def phase_at(phases: Sequence[AnyPhase], progress: float) -> tuple[AnyPhase, float, float]:
    """Return the phase of a moment of training, progress in [0,1), and the fractions at which it begins and ends."""
    begin = 0.0
    for phase in phases:
        if progress < phase.until:
            break
        begin = phase.until
    return phase, begin, phase.until


def cosine(start: float, end: float, progress: float) -> float:
    """Interpolate from `start` to `end` along half a cosine, progress in [0,1]."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class Shortened(BaseModel):
    """After the epoch `at`, what was left of the schedule went by faster, so that it ended with the epoch `epochs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: float = Field(ge=0)
    epochs: float = Field(gt=0)


@dataclass(frozen=True)
class Timeline:
    """The steps of a run, counted from 0, and the steps of its schedule that they stand for.

    The schedule has `epochs`; the run has fewer where it was `shortened` on the way.
    """

    epochs: int
    steps_per_epoch: int
    shortened: Sequence[Shortened] = ()

    @property
    def planned(self) -> int:
        """The steps of the schedule."""
        return self.epochs * self.steps_per_epoch

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return round(self.shortened[-1].epochs * self.steps_per_epoch) if self.shortened else self.planned

    def scheduled(self, step: int) -> float:
        """Return the step of the schedule that a step of the run stands for: itself, unless it was shortened before."""
        begin, there, speed = self._stretch(step)
        return there + (step - begin) * speed

    def speed(self, step: int) -> float:
        """Return how many steps of the schedule a step of the run stands for."""
        return self._stretch(step)[2]

    def progress(self, step: int) -> float:
        """Return the fraction of the schedule that lies before a step."""
        return self.scheduled(step) / self.planned

    def _stretch(self, step: int) -> tuple[int, float, float]:
        """Where the speed of a step began, in steps of the run and of the schedule, and that speed."""
        begin, there, speed = 0, 0.0, 1.0
        for each in self.shortened:
            at, end = round(each.at * self.steps_per_epoch), round(each.epochs * self.steps_per_epoch)
            if step <= at:
                break
            there += (at - begin) * speed
            begin, speed = at, (self.planned - there) / (end - at)
        return begin, there, speed


class Resolution(BaseModel):
    """Pixels a side of the training images; several, one after the other, grow to the full size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: int = Field(ge=8, le=4096)
    until: float = Field(1.0, gt=0, le=1)


@dataclass(frozen=True)
class Moment:
    """Where a schedule is: a step, counted from 0, of `steps`, of which each epoch has `steps_per_epoch`."""

    step: float
    steps: int
    steps_per_epoch: int


class Schedule(BaseModel, ABC):
    """A course of the learning rate; several, one after the other, are warm restarts (arXiv 1608.03983)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    peak: float = Field(gt=0)
    until: float = Field(1.0, gt=0, le=1)

    @abstractmethod
    def rate(self, now: Moment) -> float:
        """Return the learning rate of a step."""


class OneCycle(Schedule):
    """Linear from 0 to `peak` over the fraction `warmup`, then linear to 0; neither end has a rate of 0 itself."""

    name: Literal["one-cycle"] = "one-cycle"
    warmup: float = Field(0.15, gt=0, lt=1)

    def rate(self, now: Moment) -> float:
        progress = (now.step + 1) / (now.steps + 1)
        if progress < self.warmup:
            return self.peak * progress / self.warmup
        return self.peak * (1 - progress) / (1 - self.warmup)


class _WithWarmup(Schedule):
    """The authors' warm-up: from 0.1 to 1 of the peak, linear over the first steps of the first epoch.

    Their code writes the rate over whatever the schedule says and, where an epoch has fewer steps than the warm-up,
    leaves it at 0.08875 for good; here the schedule has its peak back after the first epoch.
    """

    warmup_steps: int = Field(200, ge=0)

    def rate(self, now: Moment) -> float:
        if now.step < min(self.warmup_steps, now.steps_per_epoch):
            return self.peak * (0.1 + 0.9 * now.step / self.warmup_steps)
        return self._rate(now)

    @abstractmethod
    def _rate(self, now: Moment) -> float: ...


class Cosine(_WithWarmup):
    """Half a cosine, step by step, from `peak` down to `floor` (the paper's pretraining)."""

    name: Literal["cosine"]
    floor: float = Field(1e-6, ge=0)

    def _rate(self, now: Moment) -> float:
        return cosine(self.peak, self.floor, now.step / now.steps)


class Milestones(_WithWarmup):
    """`peak`, times 0.1 from each of the given epochs on (the paper's fine-tuning: 30 and 50 of 100)."""

    name: Literal["milestones"]
    epochs: tuple[int, ...]

    def _rate(self, now: Moment) -> float:
        epoch = now.step // now.steps_per_epoch
        return self.peak * math.prod(0.1 for milestone in self.epochs if epoch >= milestone)


def _kind(value: object) -> object:
    """A schedule without a name is one cycle."""
    named = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return named or "one-cycle"


AnySchedule = Annotated[
    Annotated[OneCycle, Tag("one-cycle")] | Annotated[Cosine, Tag("cosine")] | Annotated[Milestones, Tag("milestones")],
    Discriminator(_kind),
]


def learning_rate(schedules: Sequence[AnySchedule], step: float, total_steps: int, steps_per_epoch: int) -> float:
    """Return the rate of a step, counted from 0."""
    schedule, begin, end = phase_at(schedules, step / total_steps)
    first, last = round(begin * total_steps), round(end * total_steps)
    return schedule.rate(Moment(step - first, last - first, steps_per_epoch))
