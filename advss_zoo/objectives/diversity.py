"""How differently the attacks on several tasks point: the log-determinant of Chen et al. 2020, eq. 3 and 4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

JITTER = 1e-5  # on the diagonal, as in the authors' code: it bounds the log-determinant of parallel gradients
VANISHED = 1e-12  # a gradient shorter than this has no direction


def diversity(gradients: Sequence[Tensor]) -> Tensor:
    """Compute log det(G^T G + jitter) of each image, G's columns being unit gradients of the tasks; 0 if orthogonal.

    Differentiable twice. The products are taken in the gradients' precision, the log-determinant in float64: in
    float32 it would be off where the gradients are nearly parallel.

    Args:
        gradients: one a task, each (B, ...) with the same shape.

    Returns:
        (B,) float64; 0 for images where a gradient has vanished, which have no angles to speak of.
    """
    columns = torch.stack([gradient.flatten(1) for gradient in gradients], dim=1)
    squared = columns.square().sum(dim=2, keepdim=True)
    present = squared > VANISHED**2
    # The square root of 0 has no derivative; where a gradient has vanished any number will do.
    units = columns / torch.where(present, squared, 1).sqrt()
    with torch.autocast(units.device.type, enabled=False):
        gram = (units @ units.transpose(1, 2)).double()
    gram = gram + JITTER * torch.eye(len(gradients), dtype=gram.dtype, device=gram.device)
    logdet = torch.linalg.slogdet(gram).logabsdet
    return torch.where(present.all(dim=1).squeeze(1), logdet, 0)
