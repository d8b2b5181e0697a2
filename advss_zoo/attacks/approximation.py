"""A step without a useful gradient, made attackable (BPDA: Athalye, Carlini and Wagner 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class _GradientOf(torch.autograd.Function):
    """The first argument forwards; the gradient goes to the second."""

    @staticmethod
    def forward(context: Any, exact: Tensor, smooth: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[None, Tensor]:
        return None, slope


class _Bpda(nn.Module):
    def __init__(self, step: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step, self.smooth = step, backward

    def forward(self, x: Tensor) -> Tensor:
        smooth = self.smooth(x)
        with torch.no_grad():
            exact = self.step(x)
        if exact.shape != smooth.shape:
            raise ValueError(f"step returns shape {tuple(exact.shape)}, but backward {tuple(smooth.shape)}")
        return _GradientOf.apply(exact, smooth)


def bpda(step: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor] = lambda x: x) -> nn.Module:
    """Wrap a step without a useful gradient: forward it is `step`, backward it has the gradient of `backward`.

    `nn.Sequential(bpda(quantize), network)` can be attacked by gradient where `nn.Sequential(quantize, network)`
    cannot (BPDA, Athalye et al. 2018).

    Args:
        step: for example rounding, JPEG compression or a denoiser; a function or module of tensors.
        backward: a differentiable function that is near `step`, with outputs of the same shape; left out: the identity.

    Returns:
        A module that returns exactly what `step` returns.
    """
    return _Bpda(step, backward)
