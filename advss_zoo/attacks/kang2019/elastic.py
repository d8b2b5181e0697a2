"""Elastic: a smooth field of displacements moves the pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen
from advss_zoo.attacks.kang2019.regions import LinfBall, PerturbationBall


class Elastic(Unforeseen):
    """Variables (B,2,H,W): the flow to the right and down before smoothing, in pixels, as is eps.

    A pixel is 2/W of the image as published, 31/32 of the distance of two pixels at W = 32. The flow is smoothed by a
    Gaussian of standard deviation 3 at side 224 in a window of 4 standard deviations, 0.43 in 5x5 at side 32; what
    comes from outside the image is black. The published code ran on PyTorch 1.0, whose sampler had the corners of the
    grid in the centres of the corner pixels: `align_corners` is on, which alone makes zero flow the identity.
    """

    name = "elastic"
    region: PerturbationBall

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        self.region = LinfBall(eps)
        window = gaussian(3 * min(x.shape[2:]) / 224)
        self.down, self.right = (smoothing(window, side).to(x.device) for side in x.shape[2:])
        identity = torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)
        self.grid = F.affine_grid(identity, list(x.shape), align_corners=True)
        self.pixel = 2 / torch.tensor([x.shape[3], x.shape[2]], device=x.device)

    def start(self) -> Tensor:
        return self.region.random_start(torch.zeros_like(self.x[:, :2]), self.index, self.seed)

    def images(self, v: Tensor) -> Tensor:
        flow = (self.down.mT @ v @ self.right).permute(0, 2, 3, 1)
        return F.grid_sample(self.x, self.grid + flow * self.pixel, align_corners=True)


def gaussian(std: float) -> Tensor:
    """Return weights that sum to 1, of at least 4 standard deviations to each side."""
    radius = math.ceil(4 * std)
    window = torch.exp(-((torch.arange(-radius, radius + 1) / std) ** 2) / 2)
    return window / window.sum()


def smoothing(window: Tensor, side: int) -> Tensor:
    """Return the matrix (side, side) by which rows are multiplied to smooth them, reflected at their ends."""
    padded = F.pad(torch.eye(side)[:, None], (len(window) // 2,) * 2, mode="reflect")
    return F.conv1d(padded, window[None, None])[:, 0]
