"""Random numbers that belong to an image, not to a batch.

A counter-based generator: each number is a hash of (seed, image index, position). So a random start is the same on
every device, for every batch size, on every process that shares the work, and after a resume; no state is kept.
The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014), applied twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# 64-bit constants of SplitMix64 as the signed integers torch has; products wrap around as unsigned ones would.
_GOLDEN, _MIX_1, _MIX_2 = (c - (1 << 64) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _mix(z: Tensor) -> Tensor:
    return _folded(_mix_high(z), 31)


def _mix_high(z: Tensor) -> Tensor:
    """`_mix` without its last step, which leaves the 31 highest bits as they are."""
    return _folded(_folded(z, 30).mul_(_MIX_1), 27).mul_(_MIX_2)


def _folded(z: Tensor, shift: int) -> Tensor:
    # torch shifts signed integers arithmetically; the mask makes the shift logical.
    return (z >> shift).bitwise_and_((1 << (64 - shift)) - 1).bitwise_xor_(z)


def per_image_uniform(shape: Sequence[int], index: Tensor, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw uniform numbers in [0,1), float32.

    Args:
        shape: (B, ...) of the result.
        index: (B,) integers; row b is a function of seed and index[b] alone.
        seed: any Python integer that fits 63 bits; different seeds give independent numbers.
    """
    positions = math.prod(shape[1:])
    index = index.to(device=device, dtype=torch.int64)
    keys = _mix(index * _GOLDEN + _mix(torch.full((), seed, dtype=torch.int64, device=device) + _GOLDEN))
    counters = torch.arange(1, positions + 1, dtype=torch.int64, device=device) * _GOLDEN
    # The 24 highest, which are all that a float32 holds.
    bits = _mix_high(keys[:, None] + counters[None, :]).bitwise_right_shift_(40)
    return bits.bitwise_and_((1 << 24) - 1).float().mul_(2.0**-24).view(*shape)


def per_image_normal(shape: Sequence[int], index: Tensor, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw standard normal numbers, float32, like `per_image_uniform`."""
    uniform = per_image_uniform(shape, index, seed, device).double()
    return torch.special.ndtri(uniform + 2.0**-25).float()
