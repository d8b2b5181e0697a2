"""What a recipe costs before it is run: steps, passes, and the time it would take on this machine.

The time is a sum over the pieces of a training, in each of which all steps cost the same. Of each piece it is what runs
of the same network took here (`speeds`), else what timed passes take (`timing`).
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from advss_zoo.data.load import count_for_training
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.models.architecture import Architecture
from advss_zoo.training import log, speeds, teacher, timing
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Timeline, phase_at
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.training.timing import Seconds, Work
from advss_zoo.zoo.runs import RUNS

LEAST = 5.0  # seconds of an evaluation that say how fast it is


@dataclass(frozen=True)
class Cost:
    """What a training takes; seconds are those on a free machine, `seconds_now` those at its present load.

    `passes_per_image` are forward+backward passes, attack included. `parts` says how many of the seconds are for what.
    """

    steps: int
    passes_per_image: float
    seconds: float
    seconds_now: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Piece:
    """The steps between two fractions of a training, which cost the same."""

    begin: float
    until: float
    attack_passes: int
    work: Work

    @property
    def share(self) -> float:
        return self.until - self.begin


def estimate(recipe: Recipe, *, device: str | torch.device = "cpu", images: int | None = None) -> Cost:
    """Count steps and passes, and estimate the time.

    Args:
        images: how many are trained on, where that is known better than from the name of the data.
    """
    images, device = images or count_for_training(recipe.data, recipe.folder_options), torch.device(device)
    steps = (seconds * (piece.share * recipe.length * images) for piece, seconds in course(recipe, device))
    training = sum(steps, Seconds())
    validation = look(recipe, device) * (recipe.length / recipe.validation.every)
    total = training + validation
    return Cost(
        steps=round(recipe.length * -(-images // recipe.batch_size)),
        passes_per_image=attack_passes(recipe) + recipe.objective.passes + (recipe.clean_weight > 0),
        seconds=total.free,
        seconds_now=total.now,
        parts={"training": training.free, "validation": validation.free},
    )


def course(recipe: Recipe, device: str | torch.device) -> list[tuple[Piece, Seconds]]:
    """Estimate the seconds that an image takes in a step of each piece of a training."""
    device = torch.device(device)
    taught = _attacked(_work(recipe, recipe.side), device) * teacher.passes_per_image(recipe, RUNS)
    return [(piece, _step(piece, device, taught)) for piece in pieces(recipe)]


def look(recipe: Recipe, device: str | torch.device) -> Seconds:
    """Estimate the seconds of one validation."""
    work = replace(_work(recipe, recipe.side), objective=recipe.objective.validation_objective)
    return _attacked(work, torch.device(device)) * (recipe.validation.images * (recipe.validation.attack.steps + 1))


def attack_passes(recipe: Recipe) -> float:
    """Count the forward+backward passes that the attack takes on an image, as a mean over the training."""
    return sum(piece.share * piece.attack_passes for piece in pieces(recipe))


def pieces(recipe: Recipe) -> Iterator[Piece]:
    """Cut a training wherever the cost of a step changes: here is the place for more that changes it."""
    adversaries, sizes = ({phase.until for phase in phases} for phases in (recipe.adversary, recipe.resolution))
    ends = ({recipe.head_first} | adversaries | sizes) - {0.0}
    begin = 0.0
    for end in sorted(ends):
        adversary, _ = recipe.phase(begin)
        work = replace(_work(recipe, recipe.side_at(begin)), head_alone=recipe.head_alone(begin))
        yield Piece(begin, end, adversary.passes, work)
        begin = end


def evaluation(recipe: Recipe, protocol: Protocol, images: int, *, device: str | torch.device = "cpu") -> float:
    """Estimate the seconds on a free machine that a protocol takes on the images."""
    device = torch.device(device)
    known = speeds.recall(speeds.evaluation(recipe.architecture, recipe.side, protocol.label()), device)
    return images * (known or protocol.passes * evaluation_pass(recipe, device).free)


def evaluation_pass(recipe: Recipe, device: str | torch.device = "cpu") -> Seconds:
    """Time an attack pass of an evaluation, an image; evaluations compute in single precision."""
    work = replace(_work(recipe, recipe.side), objective=recipe.objective.deployed, precision="fp32")
    return _attacked(work, torch.device(device))


def remember_run(recipe: Recipe, records: Sequence[log.Record], timeline: Timeline, watch: Stopwatch) -> None:
    """Keep what the steps of a run took, for the next estimate.

    Args:
        records: what was logged while the watch ran.
    """
    found, taken = list(pieces(recipe)), defaultdict(list)
    for one, after in pairwise(records):
        first, last = (phase_at(found, timeline.progress(step))[0] for step in (one["step"], after["step"] - 1))
        # Validation comes between its record and the next one.
        if "validation" not in one and after["step"] > one["step"] and first == last:
            images = (after["step"] - one["step"]) * recipe.batch_size
            taken[first].append((after["seconds"] - one["seconds"]) / images)
    for piece, seconds in taken.items():
        named = speeds.training(piece.work, piece.attack_passes)
        speeds.remember(named, watch.device, statistics.median(seconds) * watch.share)


def remember_evaluation(
    architecture: Architecture, side: int, label: str, *, images: int, seconds: float, watch: Stopwatch
) -> None:
    """Keep what an evaluation took, if this process alone made it while the watch ran, and was at it for a while.

    Args:
        label: of the protocol.
        seconds: that the result gives for the images.
    """
    if LEAST <= seconds <= watch.wall <= 2 * seconds:
        named = speeds.evaluation(architecture, side, label)
        speeds.remember(named, watch.device, watch.share * seconds / images)


def _work(recipe: Recipe, side: int) -> Work:
    return Work(
        recipe.objective,
        recipe.architecture,
        recipe.precision,
        side,
        -(-recipe.batch_size // recipe.accumulation),
        clean_weight=recipe.clean_weight,
        teacher=recipe.teacher.model if recipe.teacher else None,
    )


def _step(piece: Piece, device: torch.device, taught: Seconds) -> Seconds:
    """An image's share of a training step: attack, update with what its teacher takes, and whatever else there is."""
    if known := speeds.recall(speeds.training(piece.work, piece.attack_passes), device):
        return Seconds(known, known * timing.present_slowdown(device))
    update = timing.seconds_per_image(replace(piece.work, teacher=None), "update", device) + taught
    return update + _attacked(piece.work, device) * piece.attack_passes if piece.attack_passes else update


def _attacked(work: Work, device: torch.device) -> Seconds:
    """An attack pass, to which it makes no difference what else there is to a step."""
    return timing.seconds_per_image(replace(work, head_alone=False, clean_weight=0.0, teacher=None), "attack", device)
