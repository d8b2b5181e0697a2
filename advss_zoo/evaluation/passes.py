"""How many images go through the network at once, so that no verdict depends on how the work was cut.

Convolutions round differently for different batch sizes. Measured with oneDNN (torch 2.14, AVX-512): gradients of a
ResNet-18 of width 16 differ in their last bits from those in batches of 64 for batches of 1 and 2 on one thread, 6, 7
and 9 on two, 24 on sixteen, 48 on thirty-two; those of a ResNet-50 of width 8 for batches of 8 on one. Through the
sign of a gradient near 0 such a bit can turn a verdict. So the cut is fixed: pass k always holds images k*s to (k+1)*s,
where s depends on the size of the images alone. Only the last pass is shorter: an evaluation of more images may round
the last few of a shorter one differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

# 64 images of CIFAR's size keep two cores as busy as 256 do; larger images come in fewer, for the same memory.
MOST_IMAGES = 64
MOST_PIXELS = MOST_IMAGES * 32 * 32
# Batches that are no multiple of this can take other kernels, and are slower for it.
MULTIPLE = 8


def images_per_pass(height: int, width: int) -> int:
    """A multiple of 8 from 8 to 64."""
    fitting = MOST_PIXELS // (height * width) // MULTIPLE * MULTIPLE
    return min(MOST_IMAGES, max(MULTIPLE, fitting))


def padded(rows: Tensor) -> Tensor:
    """Row numbers (n,), n > 0, repeated from the start up to a multiple of 8."""
    length = -(-len(rows) // MULTIPLE) * MULTIPLE
    return rows[torch.arange(length, device=rows.device) % len(rows)]
