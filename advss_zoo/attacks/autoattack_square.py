"""AutoAttack's Square in Linf, faster: a query is made and computed in its window alone.

The same queries with the same outcome as the authors', rounding aside: their random numbers in their order, and their
schedule of sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advss_zoo.attacks.checks import Network
from advss_zoo.attacks.losses import margin
from advss_zoo.models.local import Local, LocalEnsemble, Window, remember
from advss_zoo.models.precision import at_least_float32


class _Search:
    """One run on a network of which parts are computed: the best images so far, and what of them is remembered.

    What is misclassified by parts of the network is asked again of the whole.

    Args:
        x, y: all images of the run (B,C,H,W) and their labels (B,).
        start: where they begin.

    Attributes:
        images: (B,C,H,W), those that are broken as they were then.
        rows: which of them stand.
    """

    def __init__(self, network: Network, bare: nn.Module, x: Tensor, y: Tensor, start: Tensor, eps: float) -> None:
        self._network, self._bare, self.images, self.rows = network, bare, start.clone(), torch.arange(len(x))
        self._best, self._y, self._margins = start, y, margin(network(start), y)
        self._lower, self._upper = (x - eps).clamp_min(0), (x + eps).clamp_max(1)
        self._local: Local | LocalEnsemble | None = None
        self._drop_broken()

    def ask(self, window: Window, change: Tensor, size: int) -> None:
        """Add `change` (C,1,1) in a window of this size to the best images, and keep what is better."""
        if self._local is None or self._local.size != size:
            self._local = remember(self._bare, self._best, size)
        parts = window.of(self._best)
        values = torch.clamp(parts + change, window.of(self._lower), window.of(self._upper))
        logits = at_least_float32(self._local(values, window))
        wrong = (logits.argmax(dim=1) != self._y).nonzero().squeeze(1)
        if len(wrong):
            whole = self._best[wrong]
            window.of(whole).copy_(values[wrong])
            logits[wrong] = self._network(whole)
        margins = margin(logits, self._y)
        better = ((margins > self._margins) | (margins >= 0)).nonzero().squeeze(1)
        self._local.keep(better)
        parts[better], self._margins[better] = values[better], margins[better]
        if (margins >= 0).any():
            self._drop_broken()

    def _drop_broken(self) -> None:
        self.images[self.rows] = self._best
        stay = self._margins < 0
        self.rows, self._best, self._y, self._margins, self._lower, self._upper = (
            each[stay] for each in (self.rows, self._best, self._y, self._margins, self._lower, self._upper)
        )
        self._local = None


class LocalSquare:
    """Goes before the authors' Square; in the other norms a query changes two windows, which may lie far apart."""

    bare: nn.Module | None

    def random_choice(self: Any, shape: Sequence[int]) -> Tensor:
        """Draw signs; for several images (B,C,H,W) the same, as windows are, so that they depend on no batch."""
        several = len(shape) == 4
        signs: Tensor = super().random_choice([1, *shape[1:]] if several else shape)  # type: ignore[misc]
        return signs.expand(shape)

    def attack_single_run(self: Any, x: Tensor, y: Tensor) -> Any:
        if self.norm != "Linf" or self.bare is None:
            return super().attack_single_run(x, y)  # type: ignore[misc]
        channels, height, width = x.shape[1:]
        start = torch.clamp(x + self.eps * self.random_choice([len(x), channels, 1, width]), 0, 1)
        search = _Search(self.predict, self.bare, x, y, start, self.eps)
        for query in range(self.n_queries):
            if not len(search.rows):
                break
            side = max(round(math.sqrt(self.p_selection(query) * height * width)), 1)
            side = min(side, height, width)
            top, left = (int(self.random_int(0, length - side)) for length in (height, width))
            window = Window((top, top + side), (left, left + side))
            search.ask(window, 2 * self.eps * self.random_choice([channels, 1, 1]), side)
        return None, search.images
