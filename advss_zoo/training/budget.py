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

    `after` of them are for what comes after training, if that is as fast as planned.
    """

    seconds: float
    after: float


class Pace:
    """How fast a run goes; `look` are the seconds of its last validation."""

    def __init__(self, budget: Budget, recipe: Recipe, device: torch.device) -> None:
        self._budget, self._every = budget, recipe.validation.every
        # The seconds of a step in each piece of the schedule, as planned.
        self._planned = {piece: each.now * recipe.batch_size for piece, each in cost.course(recipe, device)}
        self.look = cost.look(recipe, device).now
        self._last: deque[tuple[float, float]] = deque()  # steps: what they took, and should have taken
        self._took = self._should = 0.0  # all of these together

    def stepped(self, seconds: float, progress: float) -> None:
        """Take note of the seconds of a step, before which the fraction `progress` of the schedule lay."""
        should = self._planned[phase_at(list(self._planned), progress)[0]]
        self._last.append((seconds, should))
        self._took, self._should = self._took + seconds, self._should + should
        while self._took - self._last[0][0] >= WINDOW * self._budget.seconds:
            took, should = self._last.popleft()
            self._took, self._should = self._took - took, self._should - should

    def fitting(self, spent: float, step: int, timeline: Timeline) -> int | None:
        """Return how many more steps are to be made so that they fit; None: all that are left do.

        Args:
            spent: seconds on the clock of the run.
            step: how many have been made.
        """
        rest, progress = timeline.steps - step, timeline.progress(step)
        if not rest or self._took < FEWEST * self._budget.seconds:
            return None
        pace = self._took / self._should
        planned = sum(
            seconds * max(0.0, piece.until - max(piece.begin, progress)) for piece, seconds in self._planned.items()
        )
        each = pace * planned / (1 - progress) + self.look / (self._every * timeline.steps_per_epoch)
        left = self._budget.seconds - spent - max(1.0, pace) * self._budget.after - self.look
        return None if rest * each <= left else max(0, int(KEPT * left / each))
