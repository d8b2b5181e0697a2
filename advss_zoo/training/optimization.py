"""What moves the weights that a recipe trains, and an exponential moving average of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from advss_zoo.models.network import Network
from advss_zoo.training.recipe import AdamW, Recipe

_Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(recipe: Recipe, model: Network) -> torch.optim.Optimizer:
    """Make the optimiser of what the recipe trains; nothing else of the model requires gradients from then on."""
    options = recipe.optimizer
    trained = model if recipe.trains == "all" else model.head
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in trained.parameters():
        parameter.requires_grad_(True)
    if isinstance(options, AdamW):
        groups = _groups(trained, options.weight_decay, layer_decay=options.layer_decay)
        return torch.optim.AdamW(groups, lr=0.0, betas=options.betas)
    groups = _groups(trained, options.weight_decay, fewest=1 if options.decays == "all" else 2)
    return torch.optim.SGD(groups, lr=0.0, momentum=options.momentum, nesterov=options.nesterov)


def _groups(
    model: nn.Module, weight_decay: float, *, fewest: int = 2, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Group parameters by what they are multiplied with: a weight decay, and `scale` times the learning rate.

    Args:
        fewest: dimensions that a parameter must have to be decayed.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, layer in layers(model).items():
        parameter = model.get_parameter(name)
        groups.setdefault((parameter.ndim < fewest, layer_decay**layer), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": 0.0 if spared else weight_decay, "scale": scale}
        for (spared, scale), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def layers(model: nn.Module) -> dict[str, int]:
    """Count for each parameter the layers between its own and the end of the model.

    A layer is a numbered module with modules in it, such as blocks.3 or layer2.0; what lies between two is one, too.
    """
    numbers: dict[str, int] = {}
    number, last = -1, None
    for name, _ in model.named_parameters():
        layer = _layer(model, name)
        number += layer != last
        numbers[name], last = number, layer
    return {name: number - own for name, own in numbers.items()}


def _layer(model: nn.Module, parameter: str) -> str:
    parts = parameter.split(".")[:-1]
    around = (".".join(parts[:count]) for count in range(len(parts), 0, -1) if parts[count - 1].isdecimal())
    return next((name for name in around if any(model.get_submodule(name).children())), "")


def make_average(recipe: Recipe, model: Network) -> AveragedModel:
    """Make the moving average of the model's weights and buffers, which begins as the model itself."""
    return AveragedModel(model, multi_avg_fn=moving_average(recipe.averaging.decay), use_buffers=True)


def moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Make an exponential moving average that leaves integers (counters, permutations) as they are in the model."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    return update
