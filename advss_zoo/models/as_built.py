"""Whether a network is what its architecture says, so that a part of it can be computed in another way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def as_built(module: nn.Module, build: Callable[[], nn.Module]) -> bool:
    """Tell whether a module is in every part what `build` makes: a class of one's own, another layer or a hook may
    compute something else.
    """
    with torch.device("meta"):  # without any weights
        return not hooked(module) and _layout(module) == _layout(build())


def hooked(module: nn.Module) -> bool:
    """Tell whether a part of it has a hook, or a forward of its own."""
    return any(part._forward_pre_hooks or part._forward_hooks or "forward" in vars(part) for part in module.modules())


def _layout(model: nn.Module) -> list[tuple[str, type[nn.Module], str]]:
    """Every module by its name, with its type and its constants."""
    return [(name, type(module), module.extra_repr()) for name, module in model.named_modules()]
