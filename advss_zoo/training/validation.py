"""How a run is watched: TA and RA on training images that are held out."""

from __future__ import annotations

import torch

from advss_zoo.models.modes import frozen
from advss_zoo.models.resnetv2 import Network
from advss_zoo.seeds import derived_seed
from advss_zoo.training.crew import Crew
from advss_zoo.training.examples import Examples
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe

BATCH = 250  # images of 32 pixels a side; of larger ones fewer, for the same memory


def accuracies(recipe: Recipe, model: Network, examples: Examples, crew: Crew) -> tuple[float, float]:
    """TA and RA in the recipe's own task, as fractions, under its validation attack; processes share the work.

    The same images are seen in the same way every time, so that epochs can be compared.
    """
    objective, attack = recipe.objective.watched, recipe.validation.attack
    precision, counts = Precision(recipe.precision, crew.device), torch.zeros(3, device=crew.device)
    transform_seed, attack_seed = (derived_seed(recipe.seed, "validation", purpose) for purpose in (0, 1))
    with frozen(model):
        batch_size = max(8, min(BATCH, BATCH * 32 * 32 // recipe.side**2))
        for index in crew.mine(torch.arange(len(examples), device=crew.device).split(batch_size)):
            images = examples.images(index).float().div(255).contiguous(memory_format=torch.channels_last)
            batch = objective.transform(images, examples.labels[index], index, transform_seed)
            loss = precision.attack_loss(objective, model, batch)
            attacked = attack.perturb(loss, batch.inputs, index=batch.index, seed=attack_seed, progress=1)
            with torch.no_grad(), precision():
                right = objective.correct(model, batch.inputs, batch)
                still = right & objective.correct(model, attacked, batch)
            counts += torch.stack([torch.ones_like(right).sum(), right.sum(), still.sum()])
    asked, clean, robust = crew.sum(counts).tolist()
    return clean / asked, robust / asked
