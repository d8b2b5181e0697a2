"""What attacks with a map over the image share."""

from __future__ import annotations

from torch import Tensor


def lowest_and_span(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minimum and range (B,1,1,1) of each map (B,H,W). The range of a constant map is tiny, not 0."""
    lowest, highest = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
    return lowest.view(-1, 1, 1, 1), (highest - lowest).clamp_min(1e-12).view(-1, 1, 1, 1)
