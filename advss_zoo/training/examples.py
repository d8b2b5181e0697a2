"""The images that a run works on, where it works on them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.splits import Index

HELD_AT_MOST = 8 << 30  # bytes; larger sets stay on the disk and are read batch by batch


class Examples:
    """Part of an image set, as bytes: on the device if it is not too large."""

    def __init__(self, images: ImageSet, positions: Index, device: torch.device) -> None:
        self._images, self._positions, self._device = images.images, positions, device
        self.labels = torch.from_numpy(images.labels[positions]).to(device)
        small = len(positions) * images.images[:1].nbytes <= HELD_AT_MOST
        self._held = torch.from_numpy(self._images[positions]).to(device) if small else None

    def __len__(self) -> int:
        return len(self._positions)

    def images(self, index: Tensor) -> Tensor:
        """uint8 (B,3,H,W) of the given positions in this part, (B,)."""
        if self._held is not None:
            return self._held[index]
        return torch.from_numpy(self._images[self._positions[index.cpu().numpy()]]).to(self._device)


def resized(images: Tensor, side: int) -> Tensor:
    """Shrink uint8 images (B,3,H,H) to (B,3,side,side); each pixel is the rounded mean over the area that it covers.

    Where `side` does not divide H, areas of neighbouring pixels overlap, as in PyTorch's mode `area`.
    """
    if images.shape[-1] == side:
        return images
    return interpolate(images.float(), (side, side), mode="area").round().byte()
