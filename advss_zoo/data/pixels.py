"""8-bit pixels as the numbers that networks see."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def in_unit_range(pixels: Tensor) -> Tensor:
    """Return uint8 pixels as float32 in [0,1], with the same bits on every device.

    A GPU multiplies by the rounded 1/255 where it is told to divide by 255, and 126 of the 256 values would differ in
    their last bit; so there they come from a table.
    """
    return pixels.float() / 255 if pixels.device.type == "cpu" else levels(pixels.device)[pixels.int()]


@cache
def levels(device: torch.device) -> Tensor:
    """Return the 256 values, made on the CPU, as a table on `device`."""
    return in_unit_range(torch.arange(256, dtype=torch.uint8)).to(device)
