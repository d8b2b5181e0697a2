"""Fog: a cloud of diamond-square noise whose random numbers are chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen, lowest_and_span
from advss_zoo.attacks.kang2019.regions import LinfBall, PerturbationBall

AMPLITUDE, DECAY = 100.0, 2.0


class Fog(Unforeseen):
    """(x + eps*fog) / (max + eps), where max is the largest value of each image and colour; eps in values of 255.

    Variables (B, 3 + 12 + 48 + ...): the random numbers of the height map less 1/2, in [-1/2, 1/2]. eps bounds the
    density of the fog and not the variables, whose step is the same for all eps.

    Two oddities are kept, as the strengths were calibrated with them: eps 0 is no identity but stretches each colour to
    1, and the height map has a slip (`height_map`). The published code scales the maps of a whole batch to [0,1]
    together; here each image's own is, as in a batch of one. Its fog has more contrast then: a little stronger.
    """

    name = "fog"
    own_step = 0.002236
    region: PerturbationBall

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        self.region = LinfBall(0.5)
        self.levels = max(x.shape[2:]).bit_length()  # the map's side is the next power of two above the image's
        self.brightest = x.amax(dim=(2, 3), keepdim=True)

    def start(self) -> Tensor:
        zero = torch.zeros(len(self.x), 4**self.levels - 1, device=self.x.device)
        return self.region.random_start(zero, self.index, self.seed)

    def images(self, v: Tensor) -> Tensor:
        heights = height_map(v, self.levels)
        lowest, span = lowest_and_span(heights)
        top, left = ((2**self.levels - side) // 2 for side in self.x.shape[2:])
        crop = heights[:, None, top : top + self.x.shape[2], left : left + self.x.shape[3]]
        density = self.eps / 255
        return ((self.x + density * (crop - lowest) / span) / (self.brightest + density)).clamp(0, 1)


def height_map(v: Tensor, levels: int) -> Tensor:
    """Compute periodic diamond-square noise: v (B, 4^levels - 1) in [-1/2, 1/2] to (B, 2^levels, 2^levels).

    Each level doubles the grid: a new point is the mean of its four neighbours plus a displacement. As published, of
    the two centres beside the middle of an edge one is taken from two cells away instead of one: rougher noise.
    """
    corners = v.new_zeros(len(v), 1, 1)
    for level, numbers in enumerate(v.split([3 * 4**level for level in range(levels)], dim=1)):
        wobble = 2 * AMPLITUDE / DECAY**level * numbers.view(len(v), 3, *corners.shape[1:])
        right, below = corners.roll(-1, dims=2), corners.roll(-1, dims=1)
        centres = (corners + right + below + right.roll(-1, dims=1)) / 4 + wobble[:, 0]
        tops = (corners + right + centres + centres.roll(2, dims=1)) / 4 + wobble[:, 1]
        lefts = (corners + below + centres + centres.roll(2, dims=2)) / 4 + wobble[:, 2]
        rows = torch.stack([torch.stack([corners, tops], dim=3), torch.stack([lefts, centres], dim=3)], dim=2)
        corners = rows.reshape(len(v), 2 ** (level + 1), 2 ** (level + 1))
    return corners
