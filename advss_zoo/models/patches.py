"""Images as square grids of patches, row by row."""

from __future__ import annotations

import torch
from torch import Tensor


def cut(images: Tensor, grid: int) -> Tensor:
    """Cut images (B,C,H,W) into patches (B, grid*grid, C, H/grid, W/grid); patch l lies in row l // grid.

    Raises:
        ValueError: the grid does not divide the image.
    """
    count, channels, height, width = images.shape
    if height % grid or width % grid:
        raise ValueError(f"a grid of {grid}x{grid} does not divide images of {height}x{width}")
    rows = images.reshape(count, channels, grid, height // grid, grid, width // grid)
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def join(patches: Tensor, grid: int) -> Tensor:
    """Invert `cut`: (B, grid*grid, C, h, w) to (B, C, grid*h, grid*w)."""
    count, _, channels, height, width = patches.shape
    rows = patches.reshape(count, grid, grid, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return rows.reshape(count, channels, grid * height, grid * width)


def shuffled(images: Tensor, order: Tensor, grid: int) -> Tensor:
    """Return images whose piece j is piece order[b, j] of the original; `order` is (B, grid*grid)."""
    patches = cut(images, grid)
    return join(patches[torch.arange(len(images), device=images.device)[:, None], order], grid)
