"""How many images go through the network at once, which changes no verdict.

Random numbers belong to images, so passes of any size attack an image alike, and what is left of a large pass still
makes full batches. Rounding remains: convolutions round differently for different batch sizes, and through the sign of
a gradient near 0 such a bit can turn a verdict. With oneDNN (torch 2.14, AVX-512) logits and gradients of p1f4.mini in
batches of 8 to 512 images are those in batches of 64 to the last bit, on one thread and on two, but not in smaller ones
(`benchmarks/choices.py p1f4.mini --only batches`). So fewer are filled up to a multiple of 8. On a GPU, and on many
threads, another size can turn a verdict now and then, as another machine can.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from advss_zoo.attacks.search import DTYPES, Precision, Search
from advss_zoo.models import fused

# 64 images of CIFAR's size keep two cores as busy as 256 do, and larger images come in fewer, for the same memory. A
# GPU has more of it, and waits less often. `cpu` stands for every other kind of device.
MOST_IMAGES = {"cpu": 64, "cuda": 512}
MOST_PIXELS = {"cpu": 64 * 32 * 32, "cuda": 64 * 224 * 224}
# Batches that are no multiple of this can take other kernels.
MULTIPLE = 8
LARGEST_FILLED = 2 * MULTIPLE


def images_per_pass(height: int, width: int, device: str = "cpu") -> int:
    """Return a multiple of 8, at least 8, for a type of device."""
    kind = device if device in MOST_IMAGES else "cpu"
    fitting = MOST_PIXELS[kind] // (height * width) // MULTIPLE * MULTIPLE
    return min(MOST_IMAGES[kind], max(MULTIPLE, fitting))


class Padded(nn.Module):
    """`model`, which sees batches of multiples of 8 alone, whatever an attack makes of a pass.

    The last pass of the data is shorter, and images that are decided leave the batch. Such a batch is filled up with
    its own images from the start, and what the model says of those is left out.

    Args:
        model: its weights do not change as long as this is used.
        up_to: larger batches are left as they are; None: none is.
        first: images (B,C,H,W) that decide whether searches may follow something faster; None: they may not. Those of
            a pass would not do, for then it could be another in another pass.
    """

    def __init__(self, model: nn.Module, up_to: int | None = None, first: Tensor | None = None) -> None:
        super().__init__()
        self.model, self.up_to, self.first = model, up_to, first
        self._fused: dict[torch.dtype, Padded | None] = {}

    def fused(self, precision: Precision) -> Padded | None:
        """Return what searches may follow, filled up likewise; None: the model itself."""
        dtype = DTYPES[precision]
        if self.first is not None and dtype not in self._fused:
            found = fused.find(self.model, self.first, dtype)
            self._fused[dtype] = None if found is None else Padded(found, self.up_to)
        return self._fused.get(dtype)

    def forward(self, x: Tensor) -> Any:
        missing = -len(x) % MULTIPLE
        if not missing or (self.up_to is not None and len(x) > self.up_to):
            return self.model(x)
        again = torch.arange(missing, device=x.device) % len(x)
        output = self.model(torch.cat([x, x.detach()[again]]))
        return output[: len(x)] if isinstance(output, Tensor) else output


def search(model: nn.Module, precision: Precision) -> Search:
    """Return how an attack on a model is to search."""
    return Search(model, precision, model.fused(precision) if isinstance(model, Padded) else None)


def pad_small_batches(model: nn.Module) -> nn.Module:
    """Wrap `model` for a search within a pass: small batches are filled up to a multiple of 8.

    From 17 images on gradients are those of batches of 64 to the last bit on one and two threads. With 25 images left
    of a pass, which is usual for a robust model, the filling would be a fifth of the work.
    """
    return Padded(model.model, LARGEST_FILLED, model.first) if isinstance(model, Padded) else model
