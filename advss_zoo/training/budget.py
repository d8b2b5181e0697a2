"""Keeping a run to its time: how fast it goes, and how many steps still fit.

A plan rests on a few timed passes, and other programs come and go. So the speed of the last steps is compared with the
planned one after every step. Where the rest would not fit, it is shortened by somewhat more than it has to be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from advss_zoo.training import cost
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Timeline, phase_at

WINDOW = 0.1  # of the time that is left: steps of so long tell the pace of the rest
KEPT = 0.9  # of the steps that fit


@dataclass(frozen=True)
class Budget:
    """Seconds that a run may take, by its own clock, which stands still while the run is stopped.

    `after` of them are what comes after training would take on a free machine.
    """

    seconds: float
    after: float


class Pace:
    """How many times longer than on a free machine a run takes, by its last steps."""

    def __init__(self, budget: Budget, recipe: Recipe, device: torch.device) -> None:
        self._budget, self._every = budget, recipe.validation.every
        # Seconds on a free machine: of a step in each piece of the schedule, and of a validation.
        self._steps = {piece: each.free * recipe.batch_size for piece, each in cost.course(recipe, device)}
        self._look = cost.look(recipe, device).free
        self._last: deque[tuple[float, float]] = deque()  # steps: what they took, and would have on a free machine
        self._took = self._free = 0.0  # all of these together
        self._pace = 1.0

    def stepped(self, seconds: float, spent: float, step: int, timeline: Timeline) -> int | None:
        """Take note of a step; returns how many more are to be made so that they fit, None: all that are left do.

        After a number the steps that it rests on are forgotten: if the pace has changed, the next ones tell it better.

        Args:
            seconds: that it took.
            spent: on the clock of the run.
            step: how many have been made.
        """
        time_left = self._budget.seconds - spent
        free = self._steps[phase_at(list(self._steps), timeline.progress(step - 1))[0]]
        self._last.append((seconds, free))
        self._took, self._free = self._took + seconds, self._free + free
        while len(self._last) > 1 and self._took - self._last[0][0] >= WINDOW * time_left:
            took, free = self._last.popleft()
            self._took, self._free = self._took - took, self._free - free
        self._pace = self._took / self._free
        if step == timeline.steps or self._took < WINDOW * time_left:
            return None
        fitting = self._fitting(time_left, step, timeline)
        if fitting >= timeline.steps - step:
            return None
        self._last.clear()
        self._took = self._free = 0.0
        return max(0, int(KEPT * fitting))

    def validated(self, seconds: float) -> None:
        """Take note of the seconds of a validation."""
        self._look = seconds / self._pace

    def _fitting(self, time_left: float, step: int, timeline: Timeline) -> float:
        """How many more steps there is time for, and for a validation and what comes after training."""
        after = max(1.0, self._pace) * self._budget.after  # no faster than planned, for that was timed by itself
        free = (time_left - after) / self._pace - self._look
        progress, looks = timeline.progress(step), self._look / (self._every * timeline.steps_per_epoch)
        ahead = (seconds * max(0.0, piece.until - max(piece.begin, progress)) for piece, seconds in self._steps.items())
        return free / (sum(ahead) / (1 - progress) + looks)
