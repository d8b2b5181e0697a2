"""What would make a number meaningless, found before or right after it is measured, and said in a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advss_zoo.attacks.threat import ThreatModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.images import Images

# float32 x + eps lies up to 2.6e-8 outside the ball; for a norm over all pixels errors grow with its size.
TOLERANCE = 1e-6


def check_model(model: nn.Module, x: Tensor, images: Images, needs_gradient: bool) -> None:
    """Try the model on x (B,C,H,W).

    Raises:
        AdvssError: it fails on such images, is random, mixes them, gives NaN, or no gradient where an attack needs it.
        UsageError: its classes are not those of the data.
    """
    logits = _logits(model, x)
    classes = logits.shape[1]
    if images.classes is not None and classes != images.classes:
        raise UsageError(f"The model knows {classes} classes, but {images.name} has {images.classes}.")
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= classes:
        raise UsageError(
            f"Labels go from {low} to {high}, but the model's {classes} classes are 0 to {classes - 1}.",
            "Number the classes from 0, in the model's order.",
        )
    check_finite(logits)
    # The same images once more, half of them beside others. Rounding may differ; dropout, noise and statistics of the
    # batch do far more.
    half = len(x) // 2
    again = _logits(model, torch.cat([x[:half], 1 - x[half:]]))[:half]
    if not torch.allclose(logits[:half], again, rtol=1e-4, atol=1e-5):
        raise AdvssError(
            "The model is random, or mixes the images of a batch: the same images gave two different outputs.",
            "Remove dropout and noise that stay on in eval mode, and batch norm without running statistics.",
        )
    if needs_gradient and not logits.requires_grad:
        raise AdvssError(
            "The model's output has no gradient with respect to the images, which this attack needs.",
            "Check that forward works with torch operations only, outside torch.no_grad().",
        )


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    try:
        with torch.enable_grad():
            logits = model(x.detach().requires_grad_())
    except Exception as error:  # a model of the user's own may fail in any way
        reason = str(error).partition("\n")[0]
        raise AdvssError(f"The model fails on images of shape {tuple(x.shape)}: {reason}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise AdvssError(f"The model returned {found} for {len(x)} images, expected logits ({len(x)}, classes).")
    return logits


def check_finite(logits: Tensor) -> None:
    if not logits.isfinite().all():
        raise AdvssError("The model's output is NaN or infinite.", "Its weights may be damaged.")


def check_adversarial(adversarial: Tensor, x: Tensor, threat: ThreatModel) -> None:
    """
    Raises:
        AdvssError: an image lies outside the threat model, which is a defect of the attack.
    """
    delta = (adversarial.double() - x.double()).flatten(1)
    size = torch.linalg.vector_norm(delta, ord=float("inf") if threat.norm == "linf" else 2, dim=1)
    # Written so that NaN fails.
    if not (size <= threat.eps + TOLERANCE * max(1.0, threat.eps)).all():
        raise AdvssError(f"The attack went {size.max():.6g} far, but eps is {threat.eps:.6g} ({threat.norm}).")
    if not ((adversarial >= 0) & (adversarial <= 1)).all():
        raise AdvssError("The attack left the range of pixel values, [0, 1].")
