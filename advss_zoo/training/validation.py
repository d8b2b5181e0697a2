"""How a run is watched: TA and RA on training images that are held out."""

from __future__ import annotations

import math

import torch

from advss_zoo.data.pixels import in_unit_range
from advss_zoo.models.modes import frozen
from advss_zoo.models.network import Network
from advss_zoo.seeds import derived_seed
from advss_zoo.training.distributed import DistributedContext
from advss_zoo.training.divergence import attacking
from advss_zoo.training.examples import Examples
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.state import RunState

COLLAPSE = 0.6  # RA below this part of the best so far, and 10 points or more below it, is catastrophic overfitting
BATCH = 250  # images of 32 pixels a side; of larger ones fewer, for the same memory


def accuracies(recipe: Recipe, model: Network, examples: Examples, context: DistributedContext) -> tuple[float, float]:
    """Measure TA and RA in the recipe's own task, as fractions, under its validation attack; processes share the work.

    The same images are seen in the same way every time, so that epochs can be compared.

    Raises:
        DivergenceError: the attack met a gradient that is not finite.
    """
    objective, attack = recipe.objective.validation_objective, recipe.validation.attack
    precision, counts = Precision(recipe.precision, context.device), torch.zeros(3, device=context.device)
    transform_seed, attack_seed = (derived_seed(recipe.seed, "validation", purpose) for purpose in (0, 1))
    with frozen(model):
        batch_size = max(8, min(BATCH, BATCH * 32 * 32 // recipe.side**2))
        for index in context.mine(torch.arange(len(examples), device=context.device).split(batch_size)):
            images = in_unit_range(examples.images(index)).contiguous(memory_format=torch.channels_last)
            batch = objective.transform(images, examples.labels[index], index, transform_seed)
            loss = precision.attack_loss(objective, model, batch)
            with attacking():
                attacked = attack.perturb(loss, batch.inputs, index=batch.index, seed=attack_seed, progress=1)
            with torch.no_grad(), precision():
                right = objective.correct(model, batch.inputs, batch)
                still = right & objective.correct(model, attacked, batch)
            counts += torch.stack([torch.ones_like(right).sum(), right.sum(), still.sum()])
    asked, clean, robust = context.sum(counts).tolist()
    return clean / asked, robust / asked


def improve(state: RunState, recipe: Recipe, measured: dict[str, float]) -> list[str]:
    """Take note of the accuracies of a validation; returns those whose best is now that of these weights: ta, ra.

    Few images make many equal accuracies, and many classes an RA that is 0 for long. So with patience the later of two
    equals is kept, and a gain in one accuracy at no loss in the one that ships is worth waiting for.
    """
    state.waited += 1
    kept = []
    gained = any(accuracy > state.best[kind] for kind, accuracy in measured.items())
    for kind, accuracy in measured.items():
        better, equal = accuracy > state.best[kind], accuracy == state.best[kind]
        if recipe.deployed == f"best-{kind}" and (better or (equal and gained)):
            state.waited = 0
        if better or (recipe.validation.patience and equal):
            state.best[kind] = accuracy
            kept.append(kind)
    return kept


def has_collapsed(ra: float, best: float, recipe: Recipe, *, progress: float, images: int) -> bool:
    """Say whether RA on validation has collapsed (catastrophic overfitting).

    Without an attack in training RA is expected to go; on small images, RA at full size is no measure of it.

    Args:
        progress: the fraction of the run that lies before the last step.
        images: of validation.
    """
    adversary, _ = recipe.phase(progress)
    if not adversary.passes or recipe.side_at(progress) < recipe.side:
        return False
    chance = max(0.1, 2 / math.sqrt(images))  # of few images many fall by chance
    return ra < COLLAPSE * best and best - ra > chance
