"""Rotation (Gidaris et al. 2018, arXiv 1803.07728): by which multiple of 90 degrees was the image turned?"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Network
from advss_zoo.noise import per_image_uniform
from advss_zoo.objectives.base import Batch, ClassObjective

ANGLES = 4


class Rotation(ClassObjective):
    """One rotated copy of each image, all angles equally likely (Chen et al. 2020, section 3.1)."""

    name: Literal["rotation"] = "rotation"

    def build(self, architecture: Architecture) -> Network:
        return architecture.model_copy(update={"num_classes": ANGLES}).classifier()

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        turns = (per_image_uniform((len(images), 1), index, seed, images.device)[:, 0] * ANGLES).long()
        return Batch(rotated(images, turns), turns, index)

    def undo(self, views: Tensor, batch: Batch) -> Tensor:
        return rotated(views, ANGLES - batch.targets)


def rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate image b of (B,C,H,H) by 90*turns[b] degrees counter-clockwise."""
    found = images
    for turn in range(1, ANGLES):  # a mask as an index would wait for a GPU
        chosen = (turns % ANGLES == turn)[:, None, None, None]
        found = torch.where(chosen, torch.rot90(images, turn, dims=(2, 3)), found)
    return torch.empty_like(images).copy_(found)  # in the memory order of the images
