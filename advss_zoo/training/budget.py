"""Keeping a run to its time: how fast it goes, and how many steps still fit.

A plan rests on a few timed passes, and other programs come and go. So the speed of the last steps is compared with the
planned one after every step. Where the rest would not fit, it is shortened once by somewhat more than it has to be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from advss_zoo.training import cost
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Timeline, phase_at

WINDOW = 0.1  # of a budget: the last steps, whose speed is taken for that of the rest
FEWEST = 0.05  # of a budget: fewer say nothing, for first steps are slower
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

    def stepped(self, seconds: float, progress: float) -> None:
        """Take note of the seconds of a step, before which the fraction `progress` of the schedule lay."""
        free = self._steps[phase_at(list(self._steps), progress)[0]]
        self._last.append((seconds, free))
        self._took, self._free = self._took + seconds, self._free + free
        while self._took - self._last[0][0] >= WINDOW * self._budget.seconds:
            seconds, free = self._last.popleft()
            self._took, self._free = self._took - seconds, self._free - free
        self._pace = self._took / self._free

    def validated(self, seconds: float) -> None:
        """Take note of the seconds of a validation."""
        self._look = seconds / self._pace

    def fitting(self, spent: float, step: int, timeline: Timeline) -> int | None:
        """Return how many more steps are to be made so that they fit; None: all that are left do.

        After a number the steps that it rests on are forgotten: if the pace has changed, the next ones tell it better.

        Args:
            spent: seconds on the clock of the run.
            step: how many have been made.
        """
        rest, progress = timeline.steps - step, timeline.progress(step)
        if not rest or self._took < FEWEST * self._budget.seconds:
            return None
        after = max(1.0, self._pace) * self._budget.after  # no faster than planned, for that was timed by itself
        left = (self._budget.seconds - spent - after) / self._pace - self._look
        ahead = (seconds * max(0.0, piece.until - max(piece.begin, progress)) for piece, seconds in self._steps.items())
        each = sum(ahead) / (1 - progress) + self._look / (self._every * timeline.steps_per_epoch)
        if rest * each <= left:
            return None
        self._last.clear()
        self._took = self._free = 0.0
        return max(0, int(KEPT * left / each))
