"""How many images go through the network at once, so that no verdict depends on how the work was cut.

Convolutions round differently for different batch sizes. Measured with oneDNN (torch 2.14, ResNet-18 of width 16): from
12 images on one or two threads agree to the last bit, but batches of 1 to 9 differ from them, with 16 threads so do
batches of 24, with 32 threads batches of 48. Through the sign of a gradient near 0 the last bit can turn a verdict. So
the cut is fixed: pass k always holds images k*s to (k+1)*s, where s depends on the size of the images alone.
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
