"""Projected gradient ascent (Madry et al. 2018; Chen et al. 2020, section 3.1 and appendix settings)."""

from __future__ import annotations

import torch
from torch import Tensor

from advss_zoo.attacks.threat import Loss, ThreatModel
from advss_zoo.errors import AdvssError


def input_gradient(loss: Loss, x: Tensor) -> Tensor:
    """Gradient of `loss` with respect to the images alone: weights get none, so none is computed for them."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(x), x)[0]


def ascend(loss: Loss, z: Tensor, x: Tensor, threat: ThreatModel, step_size: float) -> Tensor:
    """One step from z: along the steepest direction, back into the ball around x, into the box.

    To NaN for good where the gradient is not finite, see `checked`.
    """
    gradient = input_gradient(loss, z)
    # The sign of NaN is 0, with which the image would stay where it is and pass for robust; 0 times NaN is NaN.
    direction = threat.direction(gradient) + 0 * gradient
    return threat.project(z + step_size * direction, x).detach()


def pgd(loss: Loss, x: Tensor, start: Tensor, *, threat: ThreatModel, steps: int, step_size: float) -> Tensor:
    """The last iterate of `steps` steps from `start`.

    Args:
        loss: what is maximised; the model it closes over is in the mode (eval) the caller chose.
        x: clean images (B,3,H,W) in [0,1], the centres of the balls.
        start: where to begin, usually `threat.random_start(...)`.
        step_size: in units of pixel values; 2/255 in the paper.

    Raises:
        AdvssError: a gradient was NaN or infinite.
    """
    z = start
    for _ in range(steps):
        z = ascend(loss, z, x, threat, step_size)
    return checked(z)


def checked(z: Tensor) -> Tensor:
    """Iterates (B,C,H,W) of `ascend`; once at the end, because on a GPU every such question waits for all that is done.

    Raises:
        AdvssError: the gradient of the loss was NaN or infinite somewhere.
    """
    check_finite_gradient(z)  # NaN where the gradient was not finite
    return z


def check_finite_gradient(gradient: Tensor) -> None:
    """
    Raises:
        AdvssError: the gradient (B,C,H,W) of an image is NaN or infinite.
    """
    if lost := int((~gradient.isfinite()).flatten(1).any(dim=1).sum()):
        raise AdvssError(
            f"The gradient of the loss is NaN or infinite for {lost} of {len(gradient)} images, which makes none of "
            "them robust.",
            "Look for divisions by 0, roots and logarithms of 0 in the model.",
        )
