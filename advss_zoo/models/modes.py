"""The state of a model while it is attacked or measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch import nn


def to_eval(model: nn.Module) -> None:
    """Switch to evaluation mode; a program of torch.export stays in the mode that it was exported in."""
    with suppress(NotImplementedError):
        model.eval()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode and no gradients for weights, undone on leaving.

    Running statistics of batch norm are neither moved nor bypassed (an attack in training mode would do both), and no
    time goes into weight gradients that nobody wants.
    """
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    to_eval(model)
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in trainable:
            parameter.requires_grad_(True)
