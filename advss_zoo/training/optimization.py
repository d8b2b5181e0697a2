"""What moves the weights, and their average: SGD on what the recipe trains, and an exponential moving average."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from advss_zoo.models.network import Network
from advss_zoo.training.recipe import Recipe

_Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(recipe: Recipe, model: Network) -> torch.optim.Optimizer:
    """Make the optimiser of what the recipe trains; nothing else of the model requires gradients from then on."""
    options = recipe.optimizer
    trained = model if recipe.trains == "all" else model.head
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in trained.parameters():
        parameter.requires_grad_(True)
    decayed = 1 if options.decays == "all" else 2
    kernels = [parameter for parameter in trained.parameters() if parameter.ndim >= decayed]
    rest = [parameter for parameter in trained.parameters() if parameter.ndim < decayed]
    return torch.optim.SGD(
        [{"params": kernels, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=0.0,
        momentum=options.momentum,
        nesterov=options.nesterov,
    )


def make_average(recipe: Recipe, model: Network) -> AveragedModel:
    """Make the moving average of the model's weights and buffers, which begins as the model itself."""
    return AveragedModel(model, multi_avg_fn=_moving_average(recipe.averaging.decay), use_buffers=True)


def _moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """An exponential moving average that leaves integers (counters, permutations) as they are in the model."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    return update
