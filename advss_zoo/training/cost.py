"""What a recipe costs, before it is run: steps, passes, and the time it would take on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from advss_zoo.data import catalogue
from advss_zoo.data.folder.division import SHARES
from advss_zoo.data.folder.listing import count_for_training
from advss_zoo.data.load import is_own
from advss_zoo.models.architecture import Architecture
from advss_zoo.objectives.base import Objective
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe

IMAGES = 32  # in a timed pass: enough that kernels run at their usual speed
REPEATS = 5
ENOUGH = 2.0  # seconds of timing
RESTRICTED_IMAGENET = 203 * 1_270  # classes, and about as many images in each


@dataclass(frozen=True)
class Cost:
    """`passes_per_image` are forward+backward passes, attack included; `seconds` are an estimate for one device."""

    steps: int
    passes_per_image: float
    seconds: float


def estimate(recipe: Recipe, *, device: str | torch.device = "cpu", images: int | None = None) -> Cost:
    """Steps and passes are counted; the time is that of a few timed passes, times their number.

    Args:
        images: how many are trained on, where that is known better than from the name of the data.
    """
    images = images or training_images(recipe.data)
    passes = attack_passes(recipe) + recipe.objective.passes + (recipe.clean_weight > 0)
    watched = recipe.validation
    validated = watched.images * (watched.attack.steps + 1) * (recipe.epochs / watched.every)
    each = seconds_per_image(recipe, device)
    return Cost(
        steps=recipe.epochs * -(-images // recipe.batch_size),
        passes_per_image=passes,
        seconds=(recipe.epochs * images * passes + validated) * each,
    )


def attack_passes(recipe: Recipe) -> float:
    """Forward+backward passes that the attack takes on an image, as a mean over the training."""
    begins = [0.0, *(phase.until for phase in recipe.adversary)]
    return sum((phase.until - begin) * phase.passes for phase, begin in zip(recipe.adversary, begins, strict=False))


def evaluation(recipe: Recipe, passes: int, images: int, *, device: str | torch.device = "cpu") -> float:
    """Seconds that an attack of so many passes takes on the images; evaluations compute in single precision."""
    network = recipe.objective.ships, recipe.architecture
    return images * passes * _seconds_per_image(*network, "fp32", torch.device(device), recipe.side)


def seconds_per_image(recipe: Recipe, device: str | torch.device = "cpu") -> float:
    """Of a forward and backward pass, timed; where the attack needs second-order gradients, they are in it."""
    return _seconds_per_image(
        recipe.objective, recipe.architecture, recipe.precision, torch.device(device), recipe.side
    )


def training_images(data: str) -> int:
    """How many images of a data set are trained on, known without reading it; of a folder, about how many."""
    if is_own(data):
        return count_for_training(Path(data), share=1 - sum(SHARES.values()))
    dataset = catalogue.find(data)
    if isinstance(dataset, catalogue.Subset | catalogue.Generated):
        return dataset.count
    if isinstance(dataset, catalogue.GroupedImageNet):
        return RESTRICTED_IMAGENET
    return 45_000


@cache
def _seconds_per_image(
    objective: Objective,
    architecture: Architecture,
    precision: Literal["fp32", "bf16"],
    device: torch.device,
    side: int | None = None,
) -> float:
    """Of one forward and backward pass of a network and its objective, on images made up."""
    size, within = side or architecture.image_size, Precision(precision, device)
    model = objective.build(architecture).to(device).to(memory_format=torch.channels_last).train()
    index = torch.arange(IMAGES, device=device)
    images = torch.rand(IMAGES, 3, size, size, device=device)
    batch = objective.transform(images, index % architecture.num_classes, index, seed=0)
    seconds: list[float] = []
    batch.inputs.requires_grad_()
    while len(seconds) < 2 or (len(seconds) < REPEATS and sum(seconds) < ENOUGH):
        started = time.perf_counter()
        with within():
            loss = objective.attack_loss(model, batch)(batch.inputs)
        loss.backward()
        float(loss.detach())  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return min(seconds) / IMAGES
