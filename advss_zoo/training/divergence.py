"""Training that has diverged: where that shows, before it can spoil what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from advss_zoo.errors import AdvssError

EXPLODED = 1_000.0  # no loss of these objectives is so large, unless training has diverged


class DivergenceError(Exception):
    """Training has diverged; the text says what shows it. The trainer adds when, and what to do."""


def check_loss(worst: Tensor) -> None:
    """Check the largest loss of some steps.

    Raises:
        DivergenceError: it is not finite, or too large.
    """
    if not float(worst) < EXPLODED:
        raise DivergenceError(f"the loss reached {float(worst):.4g}")


def check_weights(model: nn.Module) -> None:
    """Check that all weights are finite.

    Raises:
        DivergenceError: a weight is not finite.
    """
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise DivergenceError("a weight is NaN or infinite")


@contextmanager
def attacking() -> Iterator[None]:
    """Attack the model in training, whose fault it is if a gradient is not finite.

    Raises:
        DivergenceError: a gradient is not finite, where the attacks of this package stop.
    """
    try:
        yield
    except AdvssError:
        raise DivergenceError("a gradient is NaN or infinite") from None
