"""Snow: flakes on a grid whose brightness is chosen, blurred to streaks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen
from advss_zoo.attacks.kang2019.regions import Region
from advss_zoo.noise import per_image_uniform

SPACING = 4  # of the flakes of a layer, in pixels
FIRST_FLAKES = ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0))  # row and column in each layer
LAYERS = len(FIRST_FLAKES)
BUDGET = 0.2  # mean intensity of a block of BLOCK x BLOCK flakes
BLOCK = 8
REACH = 6  # of a streak from its centre, in pixels: kernels are 13x13
NUMBERS = 1 + 4 * LAYERS  # random numbers of an image's streaks


class Snow(Unforeseen):
    """0.75*x + 0.25*max(x, 1.5*gray + 0.5) + eps*snow; eps in units of [0,1]. So eps 0 is no identity: it lightens.

    Variables (B,7,H/4,W/4): the intensities of the flakes in seven layers, the fourth power of which is seen. eps
    bounds the brightness and not the variables, whose step is the same for all eps. Streaks are drawn for each image,
    not once for a batch.

    The published code projects after it has taken the gradient and not at all after the last step, which concerns the
    search: here every step ends in the region. The attack is weaker by at most the last step.
    """

    name = "snow"
    multiple = SPACING * BLOCK
    own_step = 0.002236

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        self.region = Flakes()
        shape = (len(x), LAYERS, x.shape[2] // SPACING, x.shape[3] // SPACING)
        # Double, as single-precision functions are rounded differently at different places of a batch.
        uniform = per_image_uniform((len(x), NUMBERS + math.prod(shape[1:])), index, seed, x.device).double()
        self.streaks = _placed(streaks(uniform[:, :NUMBERS])).to(x.dtype)
        self.intensities = torch.exp(-uniform[:, NUMBERS:].view(shape) / BUDGET).to(x.dtype)
        gray = torch.einsum("c,bchw->bhw", torch.tensor((0.2126, 0.7152, 0.0722), device=x.device), x)[:, None]
        self.lightened = 0.75 * x + 0.25 * torch.maximum(x, 1.5 * gray + 0.5)

    def start(self) -> Tensor:
        return self.intensities

    def images(self, v: Tensor) -> Tensor:
        flakes = (v**4).flatten(0, 1)[None]
        snow = F.conv_transpose2d(flakes, self.streaks, stride=SPACING, groups=len(v))[0, :, None]
        seen = snow[:, :, REACH : REACH + self.x.shape[2], REACH : REACH + self.x.shape[3]]
        return (self.lightened + self.eps * seen).clamp(0, 1)


class Flakes(Region):
    """Intensities in (0,1] whose mean over each block of a layer is at most the budget; steps go along the sign."""

    def advance(self, v: Tensor, gradient: Tensor, t: int, step_size: float) -> Tensor:
        v = (v + step_size * gradient.sign()).clamp(1e-9, 1)
        scale = BUDGET / F.avg_pool2d(v, BLOCK).clamp_min(BUDGET)
        return v * F.interpolate(scale, scale_factor=BLOCK)

    def size(self, v: Tensor) -> Tensor:
        blocks = F.avg_pool2d(v, BLOCK).flatten(1).amax(dim=1) / BUDGET
        size = torch.maximum(v.flatten(1).amax(dim=1), blocks)
        return size.masked_fill((v < 0).flatten(1).any(dim=1), math.inf)


def streaks(uniform: Tensor) -> Tensor:
    """Return kernels (B,7,13,13) from random numbers (B,29): slightly blurred lines through the centre.

    A line ends 2 to 6 pixels to the right of the centre and as many below, is 1, 3 or 5 wide (with probability 0.6,
    0.3, 0.1), and has its mirror image on the other side; all lines of an image lean to the same side.
    """
    right, below, width, blur = uniform[:, 1:].view(-1, 4, LAYERS, 1, 1).unbind(dim=1)
    right, below = (2 + (number * (REACH - 1)).floor() for number in (right, below))
    slope = torch.minimum(right, below) / torch.maximum(right, below)
    half_width = (1 + 2 * (width >= 0.6) + 2 * (width >= 0.9)) * torch.sqrt(1 + slope) / 4
    along = torch.arange(REACH + 1, device=uniform.device)
    flat = (1 + half_width - (along[:, None] - slope * along).abs()).clamp(0, 1)
    flat = flat * (along <= torch.maximum(right, below))
    quarter = torch.where(below > right, flat.mT, flat)
    kernels = F.pad(quarter, (REACH, 0, REACH, 0))
    kernels = torch.maximum(kernels, kernels.flip(2, 3))
    kernels = torch.where(uniform[:, 0].view(-1, 1, 1, 1) < 0.5, kernels.flip(3), kernels)
    window = torch.exp(-(torch.arange(-1, 2, device=uniform.device) ** 2) / (2 * (0.41 + 0.19 * blur) ** 2))
    window = window * window.mT / window.sum(dim=3, keepdim=True) ** 2
    each = kernels.flatten(0, 1)[None]
    return F.conv2d(each, window.flatten(0, 1)[:, None], padding=1, groups=each.shape[1]).view_as(kernels)


def _placed(kernels: Tensor) -> Tensor:
    """Kernels (B,7,13,13), each moved to its layer's first flake: (B*7,1,16,16), what F.conv_transpose2d takes."""
    rest = SPACING - 1
    layers = zip(kernels.unbind(dim=1), FIRST_FLAKES, strict=True)
    moved = [F.pad(kernel, (column, rest - column, row, rest - row)) for kernel, (row, column) in layers]
    return torch.stack(moved, dim=1).flatten(0, 1)[:, None]
