"""Gabor: noise of one texture, a Gabor kernel convolved with a map that is chosen."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen, lowest_and_span
from advss_zoo.attacks.kang2019.regions import LinfBall
from advss_zoo.noise import per_image_uniform

DENSITY = 1 / 14
SIDE = 23  # of the kernel
MOST_SIDES = 10  # of the texture
CONTRAST = 0.001


class Gabor(Unforeseen):
    """x + eps*noise, the noise in [0,1] and the same for all colours; eps in values of 255.

    Variables (B,H,W) in [-1,1]: the map. eps bounds the noise and not the variables, whose step is the same for all
    eps. The kernel is drawn for each image and stays.

    As published, the sparse random map that the search starts from determines which variables are free by a slip: the
    first step erases its spikes, and from then on all *other* places move. With 13 of 14 places free instead of one the
    attack is the stronger for it, and the strengths were calibrated so. The spikes are drawn for each place on its own,
    not counted over the batch.
    """

    name = "gabor"
    own_step = 0.002236

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        images, _, height, width = x.shape
        uniform = per_image_uniform((images, 4 + 2 * height * width), index, seed, x.device)
        # Double, as single-precision functions are rounded differently at different places of a batch.
        self.kernels = kernels(*uniform[:, :4].double().T).to(x.dtype)
        places, values = uniform[:, 4:].view(images, 2, height, width).unbind(dim=1)
        spiked = places < DENSITY
        self.spikes = (2 * values - 1) * spiked
        free = (~spiked).to(x.dtype)
        self.region = LinfBall(1, low=-free, high=free)

    def start(self) -> Tensor:
        return self.spikes

    def images(self, v: Tensor) -> Tensor:
        filtered = F.conv2d(v[None], self.kernels[:, None], padding=SIDE // 2, groups=len(v))[0]
        return (self.x + self.eps / 255 * equalised(filtered)[:, None]).clamp(0, 1)


def kernels(sides: Tensor, sigma: Tensor, frequency: Tensor, angle: Tensor) -> Tensor:
    """Return kernels (B,23,23), each the sum of 1 to 10 Gabor functions at equal angles, from (B,) numbers in [0,1)."""
    count = 1 + (MOST_SIDES * sides).long()
    line = torch.linspace(-0.5, 0.5, SIDE, dtype=sides.dtype, device=sides.device)
    envelope = torch.exp(-(line**2 + line[:, None] ** 2) / (2 * (0.1 + 0.3 * sigma + 1e-3).view(-1, 1, 1) ** 2))
    number = torch.arange(MOST_SIDES, device=sides.device)
    angles = math.pi * (angle[:, None] + number / count[:, None])
    x, y = torch.cos(angles)[..., None, None] * line, torch.sin(angles)[..., None, None] * line[:, None]
    waves = torch.cos(2 * math.pi * (3 + 2.75 * frequency).view(-1, 1, 1, 1) * (x + y))
    return envelope * (waves * (number < count[:, None])[..., None, None]).sum(dim=1)


def equalised(filtered: Tensor) -> Tensor:
    """Equalise the contrast of maps (B,H,W), to [0,1]. As published, the scale gets no gradient.

    The published code takes the local variance through a Fourier transform and back with nothing in between; what is
    left of it is the squared deviation of each place.
    """
    with torch.no_grad():
        mean = filtered.mean(dim=(1, 2), keepdim=True)
        deviation = (filtered - mean).abs()
        largest = deviation.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        gain = (1 + CONTRAST) / (CONTRAST + deviation / largest)
        lowest, span = (value[:, 0] for value in lowest_and_span((filtered - mean) * gain))
    return ((filtered - mean) * gain - lowest) / span
