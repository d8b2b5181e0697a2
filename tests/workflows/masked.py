"""Models whose robustness is false, each in one of the known ways (Athalye et al. 2018)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from advss_zoo.data.imageset import ImageSet


def network(classes: int = 10) -> nn.Module:
    """A classifier of 8x8 patches: fast, deterministic, easily attacked."""
    torch.manual_seed(0)
    found = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(256, classes)).eval()
    with torch.no_grad():
        found[-1].weight.mul_(30)  # logits of the size that trained networks have
    return found


class Stochastic(nn.Module):
    """Adds noise to the image, however often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, x):
        return self.network(x + 0.05 * torch.randn_like(x))


class Rounded(Stochastic):
    def forward(self, x):
        return self.network((x * 255).round() / 255)


class Saturated(Stochastic):
    """Returns probabilities, nearly all of them 0 or 1."""

    def forward(self, x):
        return (1000 * self.network(x)).softmax(dim=1)


def pictures(n: int) -> ImageSet:
    """Smooth random images, labelled by `network`."""
    coarse = np.random.RandomState(0).randint(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    images = coarse.repeat(8, axis=2).repeat(8, axis=3)
    with torch.no_grad():
        labels = network()(torch.from_numpy(images).float() / 255).argmax(dim=1).numpy()
    return ImageSet("made-up", "test", images, labels.astype(np.int64), np.arange(n), tuple("abcdefghij"))
