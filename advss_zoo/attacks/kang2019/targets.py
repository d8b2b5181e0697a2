"""The published loss: towards a wrong class that is drawn uniformly for each image (Kang et al. 2019); or away."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from advss_zoo.attacks.checks import Network
from advss_zoo.noise import per_image_uniform
from advss_zoo.threat import Loss

# Added to a seed, it gives numbers that no attack draws: seeds are below 2**61, `threat` adds 2**62 to them.
_TARGET_STREAM = 3 << 61


def wrong_class(y: Tensor, classes: int, index: Tensor, seed: int) -> Tensor:
    """Draw one of the `classes` - 1 wrong classes for each label (B,), by seed and index (B,) alone."""
    uniform = per_image_uniform((len(y), 1), index, seed + _TARGET_STREAM, y.device)[:, 0].double()
    return (y + 1 + (uniform * (classes - 1)).long()) % classes


def targeted_loss(model: Network, y: Tensor, *, index: Tensor, seed: int) -> Loss:
    """Return minus the cross-entropy to a random wrong class, summed over the batch."""

    def loss(images: Tensor) -> Tensor:
        logits = model(images)
        return -F.cross_entropy(logits, wrong_class(y, logits.shape[1], index, seed), reduction="sum")

    return loss


def untargeted_loss(model: Network, y: Tensor) -> Loss:
    """Return the cross-entropy to the label, summed over the batch."""
    return lambda images: F.cross_entropy(model(images), y, reduction="sum")
