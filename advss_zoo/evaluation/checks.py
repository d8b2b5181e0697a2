"""What would make a number meaningless, found before or right after it is measured, and said in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from advss_zoo.attacks.checks import check_differentiable, check_finite_gradient
from advss_zoo.errors import AdvssError, ModelWarning, UsageError
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.passes import Padded
from advss_zoo.models.adapted import Adapted
from advss_zoo.models.architecture import IMAGENET_MEAN, IMAGENET_STD
from advss_zoo.models.draws import MeanOfDraws
from advss_zoo.models.outputs import check_finite, check_logits


def _by_channel(x: Tensor, values: Sequence[float]) -> Tensor:
    return x.new_tensor(values).view(1, -1, 1, 1)


FORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "values from 0 to 255": lambda x: 255 * x,
    "values from -1 to 1": lambda x: 2 * x - 1,
    "ImageNet's mean subtracted, divided by its deviation": lambda x: (
        (x - _by_channel(x, IMAGENET_MEAN)) / _by_channel(x, IMAGENET_STD)
    ),
    "channels in the order blue, green, red": lambda x: x.flip(1),
}
"""How models of others are given images. None that is trained on [0,1] does better by this much in another form:"""
POOR, GAIN, FEWEST = 0.5, 0.2, 5  # accuracy below which others are tried, and by how much and how many images better


def count_classes(model: nn.Module, x: Tensor) -> int:
    """Count the classes of the model, whose logits of x (B,C,H,W) are computed.

    Raises:
        AdvssError: it fails on such images.
    """
    return _logits(model, x).shape[1]


def check_model(model: nn.Module, x: Tensor, images: Images, differentiable: bool) -> Tensor:
    """Try the model on x (B,C,H,W); returns its logits (B,K).

    Args:
        differentiable: an attack needs the gradient of its output with respect to x.

    Raises:
        AdvssError: it fails on such images, is random, mixes them, or gives NaN; or, if it has to be differentiable, is
            not.
        UsageError: its classes are not those of the data.
    """
    logits = _logits(model, x)
    classes = logits.shape[1]
    if images.classes is not None and classes != images.classes:
        raise UsageError(
            f"The model has {classes} classes, but {images.name} has {images.classes}.",
            "Give images of its classes, or name its outputs in their order: `advss eval --classes FILE`.",
        )
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= classes:
        raise UsageError(
            f"Labels go from {low} to {high}, but the model's {classes} classes are 0 to {classes - 1}.",
            "Number the classes from 0, in the model's order.",
        )
    check_finite(logits)
    # The same images once more, half of them beside others. Rounding may differ; dropout, noise and statistics of the
    # batch do far more.
    half = -(-len(x) // 2)
    others = x[half:] if len(x) > 1 else x
    # Draws of a random model are the same every time only without gradients.
    drawn = isinstance(model, Padded) and isinstance(model.model, MeanOfDraws)
    first = _logits(model, x, gradient=False) if drawn else logits
    again = _logits(model, torch.cat([x[:half], 1 - others]), gradient=not drawn)[:half]
    if not torch.allclose(first[:half], again, rtol=1e-4, atol=1e-5):
        own = (Padded, Adapted)
        awake = dict.fromkeys(type(m).__name__ for m in model.modules() if m.training and not isinstance(m, own))
        reason = f"stays in train mode ({', '.join(awake)})" if awake else "is random, or mixes the images of a batch"
        raise AdvssError(
            f"The model {reason}: the same images gave two different outputs.",
            "Remove dropout and noise that stay on in eval mode, batch norm without running statistics, and what "
            "eval() does not reach, such as modules in a plain list. If it is meant to be random, add --eot 16.",
        )
    if differentiable:
        check_differentiable(logits)
    return logits


def warn_of_other_inputs(model: nn.Module, logits: Tensor, x: Tensor, y: Tensor) -> None:
    """Warn if a model that gets most of x (B,C,H,W) wrong does far better on images in another form.

    Args:
        logits: of x (B,K).
    """
    right = float((logits.argmax(dim=1) == y).float().mean())
    if right >= POOR:
        return
    found = {form: _accuracy(model, given(x), y) for form, given in FORMS.items()}
    form = max(found, key=lambda each: found[each])
    blind = float(y.bincount().max()) / len(y)  # what always saying the same class would get
    if found[form] >= max(right, blind) + GAIN and (found[form] - right) * len(x) >= FEWEST:
        warnings.warn(
            f"The model classifies {right:.0%} of the first {len(x)} images correctly, but {found[form]:.0%} if it is "
            f"given {form}. Models must take RGB values in [0,1]: put the conversion into the model.",
            ModelWarning,
            stacklevel=1,
        )


def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            return float((model(x).argmax(dim=1) == y).float().mean())
    except Exception:  # what is not in [0,1] may be refused
        return 0.0


def check_gradient(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Check that a gradient attack can make progress.

    Raises:
        AdvssError: of the images x (B,C,H,W) the loss has no slope at any that is classified correctly, or at any at
            all: an attack by gradient would break nothing and prove nothing.
    """
    flat, right = _slopes(model, x, y)
    if flat.all() or (right.any() and flat[right].all()):
        those = "" if flat.all() else f"{int(right.sum())} correctly classified of the "
        raise AdvssError(
            f"The gradient of the model's loss is exactly 0 for all of the {those}first {len(x)} images, "
            "so this attack cannot make progress.",
            "Remove operations that round or saturate, or use --attack square, which works without gradients.",
        )


def zero_gradients(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Tell for which images (B,C,H,W) the gradient of the cross-entropy is exactly 0, bool (B,).

    Raises:
        AdvssError: it is NaN or infinite at one of them.
    """
    return _slopes(model, x, y)[0]


def _slopes(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`zero_gradients`, and which images are classified correctly, bool (B,)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
        gradient = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), x)[0]
    check_finite_gradient(gradient)
    return gradient.flatten(1).eq(0).all(dim=1), logits.argmax(dim=1) == y


class GradientsTaken(TorchFunctionMode):
    """Notes whether what runs inside it takes gradients, as a defence does that optimises at test time.

    Attributes:
        any: it has, by `torch.autograd.grad` or `Tensor.backward`.
    """

    any = False

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), settings: dict[str, Any] | None = None
    ) -> Any:
        self.any |= function in (torch.autograd.grad, Tensor.backward)
        return function(*arguments, **(settings or {}))


def _logits(model: nn.Module, x: Tensor, gradient: bool = True) -> Tensor:
    try:
        with torch.set_grad_enabled(gradient):
            logits = model(x.detach().requires_grad_())
    except Exception as error:  # a model of the user's own may fail in any way
        reason = str(error).partition("\n")[0]
        raise AdvssError(f"The model fails on images of shape {tuple(x.shape)}: {reason}") from error
    return check_logits(logits, len(x), Tensor)


def check_adversarial(adversarial: Tensor, x: Tensor, ball: Ball) -> None:
    """Check that adversarial images lie in the ball and the box.

    Raises:
        AdvssError: an image lies outside the ball or the box, which is a defect of the attack.
    """
    if ball.contains(adversarial, x).all():
        return
    distances = ball.distances(adversarial, x)
    if not (distances <= ball.limit).all():  # written so that NaN fails
        raise AdvssError(
            f"The attack produced a perturbation of size {distances.max():.6g}, but {ball.norm} eps is {ball.eps:.6g}."
        )
    raise AdvssError("The attack produced pixel values outside [0, 1].")
