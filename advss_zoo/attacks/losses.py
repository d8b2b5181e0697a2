"""What attacks maximise: a loss for each image, from logits (B,K) and labels (B,) to (B,)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return by how much the largest other logit exceeds that of the label (Carlini and Wagner 2017).

    Unlike the cross-entropy it has a gradient however confident the model is.
    """
    label = logits.gather(1, y[:, None])
    return (logits.scatter(1, y[:, None], -math.inf).amax(dim=1, keepdim=True) - label).squeeze(1)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"cross-entropy": cross_entropy, "margin": margin}
