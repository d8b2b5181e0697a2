"""The one loop behind every checkpoint: minimise over theta the mean of max over delta of l(theta, T(x) + delta).

gradients -> step -> average -> record, validate, save. Which objective, which adversary and what trains come from the
recipe (eq. 1 and Table 1 of Chen et al. 2020).

Everything random is a function of the recipe's seed and of the step, epoch or image it belongs to; no generator has
a state to lose. So a run killed at any moment and resumed from its last saved state ends with the same weights;
on a GPU up to rounding, for kernels there add in varying order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advss_zoo.errors import AdvssError
from advss_zoo.files import write_bytes
from advss_zoo.models.arithmetic import ieee_float32, on_threads
from advss_zoo.models.network import Network
from advss_zoo.progress import ignore
from advss_zoo.training import cost, curves, folder, log, parents, teacher
from advss_zoo.training.board import Board
from advss_zoo.training.budget import Budget, Pace
from advss_zoo.training.distributed import DistributedContext
from advss_zoo.training.divergence import DivergenceError, check_loss, check_weights
from advss_zoo.training.examples import load_training_data
from advss_zoo.training.export import export
from advss_zoo.training.gradients import Gradients
from advss_zoo.training.optimization import moving_average
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Shortened, Timeline, learning_rate
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.training.state import Origin, RunState
from advss_zoo.training.validation import accuracies, has_collapsed, improve
from advss_zoo.zoo.runs import CURVES, LAST, LOG, RECIPE

SAVE_EVERY = 60.0  # seconds between full states: what a kill can cost
LOG_EVERY = 50  # steps between records of the training loss

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what was last seen


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress = ignore,
    budget: Budget | None = None,
) -> Path:
    """Run a recipe in the folder `out`; returns the checkpoint folder that the recipe ships.

    A run that is resumed has the number of threads that it began with, unless OMP_NUM_THREADS says another.
    With `validation.patience` training stops where it leads no further; the epochs of `last` say when that was. With a
    budget a single process shortens what is left of the schedule where it would take too long; `shortened` in the
    folder's recipe says how, and that recipe gives the same weights again.
    The folder holds the resolved recipe, log.jsonl, TensorBoard's events, curves.png, the full state, and a checkpoint
    folder each for the weights `best-ta`, `best-ra` (both picked on validation), `average` and `last`.

    Raises:
        UsageError: `out` holds another recipe's run, or an unfinished one and `resume` is false, or another process
            trains in it, or the images are no longer those that the run started with.
        AdvssError: the loss is no longer finite, or the disk is full; the last saved state stays.
    """
    context = DistributedContext(device, recipe.accumulation)
    folder.check_claim(out, recipe, resume)
    context.wait()
    trainer = Trainer(recipe, out, context, budget)  # before the folder is claimed: data or parent may be missing
    context.wait()
    threads = None if os.environ.get("OMP_NUM_THREADS") else trainer.state.threads
    with folder.alone(out) if context.is_first else nullcontext(), ieee_float32(), on_threads(threads):
        if context.is_first:
            folder.sweep(out)
            trainer.write_recipe()
        first = trainer.state.step
        with Stopwatch(context.device) as watch:
            trainer.run(progress)
        if context.total == recipe.accumulation:  # one process
            records = [record for record in log.read(trainer.log_file) if record["step"] > first]
            cost.remember_run(recipe, records, trainer.timeline, watch)
    return out / recipe.deployed


class Trainer:
    """A recipe, the data it trains on and the state of its run."""

    def __init__(self, recipe: Recipe, out: Path, context: DistributedContext, budget: Budget | None = None) -> None:
        self.recipe, self.out, self.context = recipe, out, context
        self.log_file, self.state_file = out / LOG, out / folder.STATE
        self.data = load_training_data(recipe, context.device)
        torch.manual_seed(recipe.seed)
        model = recipe.objective.build(recipe.architecture).to(context.device).to(memory_format=torch.channels_last)
        resumed = self.state_file.exists()
        self.inherited = parents.inherit(recipe, model, out, resumed=resumed, keep=context.is_first)
        self.state = RunState(recipe, model)
        self.teacher = teacher.for_run(recipe, self.state.averaged, self.data.classes, out.parent, context.device)
        if resumed:
            self.state.restore(self.state_file, self._origin)
        steps_per_epoch = -(-len(self.data.training) // recipe.batch_size)
        self.timeline = Timeline(recipe.epochs, steps_per_epoch, self.state.shortened)
        # Clocks of several processes would have to agree.
        alone = context.total == recipe.accumulation
        self.pace = Pace(budget, recipe, context.device) if budget and alone else None
        self.gradients = Gradients(recipe, model, self.teacher, self.data.training, self.timeline, context)

    def run(self, progress: Progress) -> None:
        """Train from the current step to the last; the first process alone tells of it.

        Raises:
            AdvssError: training has diverged, or its robustness has collapsed.
        """
        if self.context.is_first:
            log.rewind(self.log_file, self.state.step)
            self.board = Board(self.out, self.state.step)
        else:
            progress = ignore
        try:
            self._loop(progress)
        except DivergenceError as error:
            best = f" The best weights so far are in {self.out / 'best-ra'}." if self.state.best["ra"] >= 0 else ""
            raise AdvssError(
                f"Training has diverged at step {self.state.step}: {error}.{best}", "Lower the peak of `schedule`."
            ) from None
        if self.inherited and self.recipe.trains == "head" and self.recipe.frozen_statistics:
            self.inherited.check_unchanged(self.state.model)
        self._export("average", self.state.averaged)
        self._export(LAST, self.state.model)  # the last to be written: a run that has it is finished

    def _loop(self, progress: Progress) -> None:
        state = self.state
        started, saved, note = time.monotonic() - state.seconds, time.monotonic(), ""
        progress(state.step, self.timeline.steps, note)
        worst = torch.zeros((), device=self.context.device)
        while not self._is_over:
            began = time.monotonic()
            loss = self.train_step()
            worst = torch.maximum(worst, loss.abs())  # of all, for a net that is lost may be back at chance soon
            state.seconds = time.monotonic() - started
            if state.step % LOG_EVERY == 0:
                check_loss(worst)
                self._record(loss=float(loss), lr=self._learning_rate(state.step - 1))
            if self.pace:
                self._keep_to_budget(self.pace, time.monotonic() - began)
            if self._validation_is_due:
                check_loss(worst)
                began = time.monotonic()
                note = self.validate()
                if self.pace:
                    self.pace.validated(time.monotonic() - began)
            if time.monotonic() - saved > SAVE_EVERY or self._is_over:
                check_loss(worst)
                self._save()
                saved = time.monotonic()
            progress(state.step, self.timeline.steps, note)

    def _keep_to_budget(self, pace: Pace, seconds: float) -> None:
        """Shorten what is left of the schedule, if it would take more time than is left, by a step of `seconds` too."""
        step, timeline = self.state.step, self.timeline
        fitting = pace.stepped(seconds, self.state.seconds, step, timeline)
        if fitting is None:
            return
        before, per_epoch = timeline.steps, timeline.steps_per_epoch
        self.state.shortened.append(Shortened(at=step / per_epoch, epochs=(step + fitting) / per_epoch))
        self._record(shortened={"from": before / per_epoch, "to": timeline.steps / per_epoch})
        self._save()  # from here on the run depends on what the clock showed
        self.write_recipe()

    @property
    def _is_over(self) -> bool:
        patience = self.recipe.validation.patience
        return self.state.step >= self.timeline.steps or (patience is not None and self.state.waited >= patience)

    @property
    def _validation_is_due(self) -> bool:
        step, between = self.state.step, self.recipe.validation.every * self.timeline.steps_per_epoch
        return step % between == 0 or step == self.timeline.steps

    def train_step(self) -> Tensor:
        """Take one step of the optimiser; returns the loss over the whole batch."""
        state = self.state
        for group in state.optimizer.param_groups:
            group["lr"] = group["scale"] * self._learning_rate(state.step)
        state.optimizer.zero_grad()
        loss = self.gradients.compute(state.step)
        state.optimizer.step()
        state.step += 1
        # Until averaging starts, the average is the model itself.
        if self.timeline.scheduled(state.step) <= self.recipe.averaging.start * self.timeline.planned:
            state.average.n_averaged.zero_()
        state.average.multi_avg_fn = moving_average(self.recipe.averaging.decay ** self.timeline.speed(state.step))
        state.average.update_parameters(state.model)
        return loss

    def _learning_rate(self, step: int) -> float:
        timeline = self.timeline
        now = timeline.scheduled(step)
        return learning_rate(self.recipe.schedule, now, timeline.planned, timeline.steps_per_epoch)

    @property
    def _epochs(self) -> float:
        return self.state.step / self.timeline.steps_per_epoch

    def validate(self) -> str:
        """Measure TA and RA on held-out training images, keep the weights that are the best so far in either.

        Raises:
            AdvssError: the robustness has collapsed (catastrophic overfitting), and the recipe has no patience, with
                which that is but a reason to stop.
        """
        state, recipe = self.state, self.recipe
        found = accuracies(recipe, state.averaged, self.data.validation, self.context)
        measured = dict(zip(("ta", "ra"), found, strict=True))
        for kind in improve(state, recipe, measured):
            self._export(f"best-{kind}", state.averaged)
        self._record(validation=measured)
        if self.context.is_first:
            curves.draw(log.read(self.log_file), self.out / CURVES)
        ra, best, progress = measured["ra"], state.best["ra"], self.timeline.progress(state.step - 1)
        if not has_collapsed(ra, best, recipe, progress=progress, images=len(self.data.validation)):
            return "validation TA {ta:.1%} RA {ra:.1%}".format(**measured)
        if patience := recipe.validation.patience:
            state.waited = patience
            return "RA has collapsed; the best weights are kept"
        raise AdvssError(
            f"Catastrophic overfitting at epoch {self._epochs:g}: RA on validation fell from {best:.1%} to {ra:.1%}; "
            "the best weights are in best-ra.",
            "Use more steps or a smaller eps for the adversary.",
        )

    def _record(self, **facts: Any) -> None:
        if not self.context.is_first:
            return
        step = self.state.step
        adversary, _ = self.recipe.phase(self.timeline.progress(step - 1))
        known = {"step": step, "epoch": round(self._epochs, 3), "seconds": round(self.state.seconds, 1)}
        log.append(self.log_file, known | {"adversary": adversary.name} | facts)
        self.board.add(step, facts)

    @property
    def _origin(self) -> Origin:
        return Origin(self.context.total, self.data.name, self.teacher.sha256 if self.teacher else None)

    def _export(self, picked: str, model: Network) -> None:
        if self.context.is_first:
            export(
                self.out,
                picked,
                model,
                self._resolved,
                self.data,
                epochs=self._epochs,
                inherited=self.inherited,
                teacher_sha256=self.teacher.sha256 if self.teacher else None,
            )

    @property
    def _resolved(self) -> Recipe:
        """The recipe as it is run."""
        return self.recipe.model_copy(update={"shortened": list(self.state.shortened)})

    def write_recipe(self) -> None:
        """Write the recipe as it is run to the folder."""
        write_bytes(self.out / RECIPE, self._resolved.to_yaml().encode())

    def _save(self) -> None:
        """
        Raises:
            DivergenceError: a weight is not finite; it never takes the place of a state that is whole.
        """
        check_weights(self.state.model)
        if self.context.is_first:
            self.state.write(self.state_file, self._origin)
