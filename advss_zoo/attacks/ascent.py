"""Projected gradient ascent (Madry et al. 2018; Chen et al. 2020, section 3.1 and appendix settings)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from advss_zoo.attacks.checks import Network, check_finite_gradient, predict
from advss_zoo.threat import Loss, Projection, ThreatModel

LINF_STEP = 2 / 255
# Restart r draws from seed + r * this, so that restart 1 of seed 0 is not restart 0 of seed 1.
RESTART_STRIDE = 1_000_003


def default_step(norm: str, eps: float, steps: int) -> float:
    """Return the default step size: the paper's 2/255; in l2, 2.5 eps / N (Madry et al. 2018)."""
    return LINF_STEP if norm == "linf" else 2.5 * eps / steps


def input_gradient(loss: Loss, x: Tensor) -> Tensor:
    """Compute the gradient of `loss` with respect to the images alone, not the weights."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(x), x)[0]


@torch.no_grad()
def step(loss: Loss, z: Tensor, threat: ThreatModel, project: Projection, step_size: float) -> Tensor:
    """Take one step from z along the steepest direction, and back into the ball and the box by `project`.

    To NaN for good where the gradient is not finite, see `checked`.
    """
    gradient = input_gradient(loss, z)
    # The sign of NaN is 0, with which the image would stay where it is and pass for robust; 0 times NaN is NaN.
    direction = threat.direction(gradient).add_(gradient, alpha=0)
    return project(torch.add(z, direction, alpha=step_size, out=direction))


def ascend(loss: Loss, x: Tensor, start: Tensor, *, threat: ThreatModel, steps: int, step_size: float) -> Tensor:
    """Return the last iterate of `steps` steps from `start`.

    Args:
        loss: what is maximised; the model it closes over is in the mode (eval) the caller chose.
        x: clean images (B,3,H,W) in [0,1], the centres of the balls.
        start: where to begin, usually `threat.random_start(...)`.
        step_size: in units of pixel values; 2/255 in the paper.

    Raises:
        AdvssError: a gradient was NaN or infinite.
    """
    z, project = start, threat.projection(x)
    for _ in range(steps):
        z = step(loss, z, threat, project, step_size)
    return checked(z)


def checked(z: Tensor) -> Tensor:
    """Check iterates (B,C,H,W) of `step`; once at the end, because on a GPU every such question waits for all that
    is done.

    Raises:
        AdvssError: the gradient of the loss was NaN or infinite somewhere.
    """
    check_finite_gradient(z)  # NaN where the gradient was not finite
    return z


def with_restarts(attempt: Callable[[Tensor, int], Tensor], model: Network, y: Tensor, restarts: int) -> Tensor:
    """Attack again, from other starts, the images that the attempts so far leave classified correctly.

    Args:
        attempt: rows (N,) of the batch and a number that its start is drawn from, to adversarial images (N,C,H,W).
        y: labels (B,).

    Returns:
        Of each image what the last attempt at it made, (B,C,H,W).
    """
    found = attempt(torch.arange(len(y), device=y.device), 0)
    for restart in range(1, restarts):
        standing = (predict(model, found) == y).nonzero().squeeze(1)
        if not len(standing):
            break
        found[standing] = attempt(standing, restart * RESTART_STRIDE)
    return found
