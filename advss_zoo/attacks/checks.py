"""What attacks ask of the numbers that they are given and of the gradients of a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.outputs import check_finite

# Images (B,C,H,W) to logits (B,K).
Network = Callable[[Tensor], Tensor]


def check_counts(**counts: int | None) -> None:
    """Check that all values that are given, so are not None, are positive integers.

    Raises:
        UsageError: one of them is not a positive integer.
    """
    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or count < 1):
            raise UsageError(f"{name} must be an integer of at least 1, got {count!r}.")


def check_seed(seed: int) -> None:
    """Check that a seed is in the range of `advss_zoo.noise`.

    Raises:
        UsageError: `advss_zoo.noise` cannot take it.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**61:
        raise UsageError(f"seed must be an integer from 0 to 2**61 - 1, got {seed!r}.")


def check_differentiable(logits: Tensor) -> None:
    """Check that the logits depend on the images in autograd.

    Raises:
        AdvssError: they do not depend on the images as autograd sees it.
    """
    if not logits.requires_grad:
        raise AdvssError(
            "The model's output has no gradient with respect to the images, which this attack needs.",
            "Check that forward works with torch operations only, outside torch.no_grad().",
        )


def check_finite_gradient(gradient: Tensor) -> None:
    """Check that the gradient of each image is finite.

    Raises:
        AdvssError: the gradient (B,C,H,W) of an image is NaN or infinite.
    """
    each = gradient.flatten(1)
    # The least and the most are NaN where one is, and are found several times faster than what each number is.
    if lost := int((~(each.amin(dim=1).isfinite() & each.amax(dim=1).isfinite())).sum()):
        raise AdvssError(
            f"The gradient of the loss is NaN or infinite for {lost} of {len(gradient)} images, which makes none of "
            "them robust.",
            "Look for divisions by 0, roots and logarithms of 0 in the model.",
        )


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Return which images (B,C,H,W) are not the same, bool (B,); NaN is like nothing."""
    return (one - other).abs_().flatten(1).amax(dim=1) != 0


@torch.no_grad()
def predict(model: Network, x: Tensor) -> Tensor:
    """Return class numbers (B,).

    Raises:
        AdvssError: the output is NaN or infinite.
    """
    logits = model(x)
    check_finite(logits)
    return logits.argmax(dim=1)
