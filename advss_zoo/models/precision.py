"""Where half precision would not do."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Convert half precision of autocast to float32; float64 stays, so that derivatives can be checked in it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
