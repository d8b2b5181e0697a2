"""What a recipe costs, before it is run: steps, passes, and the time it would take on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from advss_zoo.data import catalogue
from advss_zoo.training.recipe import Recipe

IMAGES = 32  # in a timed pass: enough that kernels run at their usual speed
REPEATS = 5
RESTRICTED_IMAGENET = 203 * 1_270  # classes, and about as many images in each


@dataclass(frozen=True)
class Cost:
    """`passes_per_image` are forward+backward passes, attack included; `seconds` are an estimate for one device."""

    steps: int
    passes_per_image: float
    seconds: float


def estimate(recipe: Recipe, *, device: str | torch.device = "cpu") -> Cost:
    """Steps and passes are exact; the time is that of a few timed passes, times their number."""
    images = training_images(recipe.data)
    begin, passes = 0.0, 1.0 + (recipe.clean_weight > 0)
    for phase in recipe.adversary:
        passes += (phase.until - begin) * phase.passes
        begin = phase.until
    watched = recipe.validation
    validated = watched.images * (watched.attack.steps + 1) * (recipe.epochs / watched.every)
    return Cost(
        steps=recipe.epochs * -(-images // recipe.batch_size),
        passes_per_image=passes,
        seconds=(recipe.epochs * images * passes + validated) * _seconds_per_image(recipe, torch.device(device)),
    )


def training_images(data: str) -> int:
    """How many images of a data set are trained on, known without reading it."""
    dataset = catalogue.find(data)
    if isinstance(dataset, catalogue.Subset | catalogue.Generated):
        return dataset.count
    if isinstance(dataset, catalogue.GroupedImageNet):
        return RESTRICTED_IMAGENET
    return 45_000


def _seconds_per_image(recipe: Recipe, device: torch.device) -> float:
    """Of one forward and backward pass of the recipe's network and objective, on images made up."""
    size = recipe.architecture.image_size
    model = recipe.objective.build(recipe.architecture).to(device).to(memory_format=torch.channels_last).train()
    pictures = torch.rand(IMAGES, 3, size, size, device=device)
    index = torch.arange(IMAGES, device=device)
    batch = recipe.objective.transform(pictures, index % recipe.architecture.num_classes, index, seed=0)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = recipe.objective.training_loss(model, batch.inputs, batch, clean_weight=0)
        loss.backward()
        float(loss.detach())  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return min(seconds) / IMAGES
