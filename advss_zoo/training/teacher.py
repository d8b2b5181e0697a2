"""Whose soft labels a run learns from: those of another model, or of the average of the run's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, one_hot
from torch.utils.flop_counter import FlopCounterMode

from advss_zoo.errors import UsageError
from advss_zoo.models.adapted import adapt
from advss_zoo.models.model import Model
from advss_zoo.models.precision import at_least_float32
from advss_zoo.objectives.base import Batch
from advss_zoo.texts import listed
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe, TeacherOptions
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import parse_reference

FORWARD = 1 / 3  # of a forward and backward pass


@dataclass(frozen=True)
class Teacher:
    """A model in evaluation mode, and how its probabilities become labels.

    `sha256` is that of its weights, and `side` the pixels a side of its images; None for the run's own average.
    """

    options: TeacherOptions
    model: nn.Module
    precision: Precision
    sha256: str | None = None
    side: int | None = None

    @torch.no_grad()
    def label(self, batch: Batch, progress: float) -> Batch:
        """Add soft labels to a batch, made of its clean inputs, at a moment of training, progress in [0,1]."""
        logits = at_least_float32(self._logits(batch.inputs))
        probabilities = (logits / self.options.temperature_at(progress)).softmax(dim=1)
        share = torch.full_like(probabilities[:, :1], self.options.share_at(progress))
        if self.options.is_own:  # ADR: the true class keeps the largest probability
            true = probabilities.gather(1, batch.targets[:, None])
            share = (share - (probabilities.amax(dim=1, keepdim=True) - true)).clamp(0, 1)
        hard = one_hot(batch.targets, probabilities.shape[1])
        return replace(batch, soft=share * probabilities + (1 - share) * hard)

    def _logits(self, images: Tensor) -> Tensor:
        if self.side and self.side != images.shape[-1]:  # smaller ones, which the run begins with
            images = interpolate(images, size=self.side, mode="bilinear", align_corners=False)
        with self.precision():
            logits: Tensor = self.model(images)
        return logits


def for_run(
    recipe: Recipe, average: nn.Module, classes: Sequence[str], beside: Path, device: torch.device
) -> Teacher | None:
    """Open the teacher of a recipe, if it has one.

    Args:
        average: the network of the run's own average.
        classes: of the data, in the order of the logits.
        beside: the folder of runs in which its name is looked up first.

    Raises:
        UsageError: there is no such model, or it has other classes or another image size.
        CheckpointError: its weights cannot be had.
    """
    if recipe.teacher is None:
        return None
    precision = Precision(recipe.precision, device)
    if recipe.teacher.is_own:
        return Teacher(recipe.teacher, average.eval(), precision)
    opened = open_fitting(recipe.teacher.model, classes, recipe.side, beside, device).requires_grad_(False)
    example = torch.rand(2, 3, recipe.side, recipe.side, generator=torch.Generator().manual_seed(0)).to(device)
    network = adapt(opened, example, len(classes), recipe.teacher.model)
    return Teacher(recipe.teacher, network, precision, opened.sha256, opened.image_size)


def open_fitting(
    name: str, classes: Sequence[str], side: int, beside: Path, device: str | torch.device = "cpu"
) -> Model:
    """Open a model that teaches these classes on images of this size; a run in `beside` comes before the zoo.

    Raises:
        UsageError: there is no such model, or it has other classes or another image size.
        CheckpointError: its weights cannot be had.
    """
    opened = open_model(parse_reference(name, beside=beside), device)
    if opened.classes is not None and opened.classes != tuple(classes):
        raise UsageError(
            f"The teacher {name} has the classes {listed(opened.classes, 3)}, but the data have {listed(classes, 3)}.",
            "Choose a teacher that was trained on the same classes, in the same order.",
        )
    if opened.image_size not in (None, side):
        raise UsageError(
            f"The teacher {name} takes images of {opened.image_size} pixels a side, but the recipe has {side}.",
            f"Choose another teacher, or image_size={opened.image_size}.",
        )
    return opened


def passes_per_image(recipe: Recipe, beside: Path) -> float:
    """Count what the teacher takes on a training image, in forward and backward passes of the recipe's own network.

    By their multiplications, on images of the same size; 0 where there is no teacher.

    Raises:
        UsageError: there is no such model.
        CheckpointError: its weights cannot be had.
    """
    if recipe.teacher is None:
        return 0.0
    if recipe.teacher.is_own:
        return FORWARD
    with torch.device("meta"):
        own = recipe.objective.build(recipe.architecture).eval()
    teacher = open_model(parse_reference(recipe.teacher.model, beside=beside)).to("meta")
    return FORWARD * _operations(teacher, recipe.side) / _operations(own, recipe.side)


def _operations(model: nn.Module, side: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()
