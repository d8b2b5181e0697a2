"""JPEG-Linf, JPEG-L2, JPEG-L1: the quantised coefficients of JPEG move inside a ball.

An image goes to YCbCr with chroma at half resolution, blocks of 8x8 through the cosine transform, coefficients are
divided by the quantisation tables of quality 50, v/2 is added in place of rounding, and all of it is undone. As nothing
is rounded, transform and inverse cancel but for the chroma, and the cosine transform of v is all that is computed.
"""

from __future__ import annotations

import math
from abc import ABC
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from advss_zoo.attacks.kang2019.base import Unforeseen
from advss_zoo.attacks.kang2019.regions import L1Ball, L2Ball, LinfBall, PerturbationBall

# ITU-T T.81, annex K.
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF; offsets cancel, as those of the cosine transform do.
RGB_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
YCC_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


class Jpeg(Unforeseen, ABC):
    """Variables (B, blocks, 8, 8) in quantisation steps: blocks of luma, then Cb, then Cr, each row by row.

    The published code takes its first gradient at eps*v/2 instead of v/2. That concerns the search alone and is
    corrected; the strength hardly changes.
    """

    multiple = 16
    ball: ClassVar[type[PerturbationBall]]
    bound: ClassVar[float] = 2.0  # of each variable
    region: PerturbationBall

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        super().__init__(x, eps=eps, index=index, seed=seed)
        bound = torch.tensor(self.bound, device=x.device)
        self.region = self.ball(eps, low=-bound, high=bound)
        self.blocks = x.shape[2] * x.shape[3] // 64
        ycc = _colours(RGB_TO_YCC, x)
        self.subsampled = _to_rgb(ycc[:, :1], F.avg_pool2d(ycc[:, 1:], 2))
        self.luma, self.chroma = (torch.tensor(table, device=x.device) / 2 / 255 for table in (LUMA, CHROMA))

    def start(self) -> Tensor:
        zero = torch.zeros(len(self.x), self.blocks * 3 // 2, 8, 8, device=self.x.device)
        return self.region.random_start(zero, self.index, self.seed)

    def images(self, v: Tensor) -> Tensor:
        height, width = self.x.shape[2:]
        luma = _plane(v[:, : self.blocks] * self.luma, 1, height, width)
        chroma = _plane(v[:, self.blocks :] * self.chroma, 2, height // 2, width // 2)
        return (self.subsampled + _to_rgb(luma, chroma)).clamp(0, 1)


class JpegLinf(Jpeg):
    name = "jpeg-linf"
    ball = LinfBall
    bound = math.inf


class JpegL2(Jpeg):
    name = "jpeg-l2"
    ball = L2Ball


class OffsetL1Ball(L1Ball):
    """Frank-Wolfe, except that entries of a vertex go as far as their bounds are from v, not from 0.

    The result is clipped to the bounds, which takes nothing away after the first step.
    """

    def advance(self, v: Tensor, gradient: Tensor, t: int, step_size: float) -> Tensor:
        seen_from_v = L1Ball(self.eps, (self.low - v).clamp_max(0), (self.high - v).clamp_min(0))
        return seen_from_v.advance(v, gradient, t, step_size).clamp(self.low, self.high)


class JpegL1(Jpeg):
    """Frank-Wolfe with a published slip, `OffsetL1Ball`: from the second step on no coefficient goes beyond 1.

    It is kept, as the strengths were calibrated with it; with vertices of the region itself the attack is stronger.
    """

    name = "jpeg-l1"
    ball = OffsetL1Ball


def inverse_dct(blocks: Tensor) -> Tensor:
    """Apply the orthonormal inverse cosine transform to (...,8,8)."""
    position = torch.arange(8, device=blocks.device)
    basis = torch.cos((2 * position + 1) * position[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.T @ blocks @ basis


def _plane(coefficients: Tensor, channels: int, height: int, width: int) -> Tensor:
    """(B, blocks, 8, 8) of `channels` planes one after the other to (B, channels, height, width)."""
    blocks = inverse_dct(coefficients).view(-1, channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(-1, channels, height, width)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Luma (B,1,H,W) and chroma (B,2,H/2,W/2) to (B,3,H,W)."""
    return _colours(YCC_TO_RGB, torch.cat([luma, F.interpolate(chroma, scale_factor=2)], dim=1))


def _colours(matrix: tuple[tuple[float, ...], ...], images: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", torch.tensor(matrix, device=images.device), images)
