"""A network: normalisation, the trunk of a backbone, and the head that a task puts on top of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from advss_zoo.models.architecture import Architecture


class Normalize(nn.Module):
    """(x - mean) / std per channel, so that attacks act on images in [0, 1]. Holds no weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        # Not persistent: the constants belong to the configuration, the weights file holds only what is trained.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        normalized = (x - self.mean) / self.std
        if normalized.requires_grad:
            # Weights may be in channels-last order, and their gradients then are; attacks of others call `grad.view`.
            normalized.register_hook(Tensor.contiguous)
        return normalized


class Trunk(nn.Module):
    """Map normalised images (B,3,H,W) to features, (B, out_channels, h, w) or (B, out_channels)."""

    out_channels: int


class LibraryTrunk(Trunk):
    """A model of another library without its last linear layer: features (B, out_channels)."""

    def __init__(self, model: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.model, self.out_channels = model, out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ClassifierHead(nn.Module):
    """Map features to logits: a linear layer on a vector."""

    linear: nn.Linear

    def pooled(self, features: Tensor) -> Tensor:
        """Return the vector before the linear layer (B, channels)."""
        return pooled(features)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.pooled(features))


class LinearHead(ClassifierHead):
    """Nothing but the linear layer, on the mean over positions where features have any."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)


def pooled(features: Tensor) -> Tensor:
    """Average features (B,C,...) over their positions, if they have any, to (B,C)."""
    return features.mean(dim=tuple(range(2, features.ndim))) if features.ndim > 2 else features


class Network(nn.Module):
    """Normalisation, a trunk, and the head that a task puts on top of it."""

    def __init__(self, architecture: Architecture, make_head: Callable[[Trunk], nn.Module]) -> None:
        super().__init__()
        self.architecture = architecture
        self.normalize = Normalize(architecture.mean, architecture.std)
        self.trunk = architecture.trunk()
        self.head = make_head(self.trunk)

    def features(self, x: Tensor) -> Tensor:
        """Map images (B,3,H,W) in [0,1] to the trunk's features, (B, out_channels, h, w) or (B, out_channels)."""
        return self.trunk(self.normalize(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
