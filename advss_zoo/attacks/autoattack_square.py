"""AutoAttack's Square in Linf, faster: of a query only what its window changes goes through the network.

The same queries with the same outcome as the authors', rounding aside.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from advss_zoo.attacks.checks import Network
from advss_zoo.attacks.losses import margin
from advss_zoo.models.local import Local, LocalEnsemble, Window, remember
from advss_zoo.models.precision import at_least_float32


class _LocalNetwork:
    """A network as one run of Square in Linf sees it, which keeps what each query leaves as it was.

    All images of a query differ in one small window from the best so far. Which those are is decided here as Square
    decides it. What is misclassified by a network of which parts are computed is asked again of the whole.
    """

    def __init__(self, network: Network, bare: nn.Module, y: Tensor) -> None:
        self.network, self.bare, self.y = network, bare, y
        self.size = 0  # of the squares at present
        self._best = self._margins = torch.empty(0)
        self._local: Local | LocalEnsemble | None = None

    def __call__(self, z: Tensor) -> Tensor:
        if not len(self._best):  # where Square begins
            logits = self.network(z)
            self._best, self._margins = z.clone(), -margin(logits, self.y)
            return logits
        rows = (self._margins > 0).nonzero().squeeze(1)
        best, y = self._best[rows], self.y[rows]
        if self._local is None or self._local.size != self.size:
            self._local = remember(self.bare, best, self.size)
        logits = at_least_float32(self._local(z, _window((z != best).flatten(0, 1).any(dim=0))))
        wrong = (logits.argmax(dim=1) != y).nonzero().squeeze(1)
        if len(wrong):
            logits[wrong] = self.network(z[wrong])
        margins = -margin(logits, y)
        better = ((margins < self._margins[rows]) | (margins <= 0)).nonzero().squeeze(1)
        self._local.keep(better)
        self._best[rows[better]], self._margins[rows[better]] = z[better], margins[better]
        if (margins <= 0).any():  # these will not be asked about again
            self._local = None
        return logits


def _window(changed: Tensor) -> Window:
    """The smallest with all positions (H,W) that are true; some pixel where none is."""
    rows, columns = (changed.any(dim=dim).nonzero().squeeze(1).tolist() or [0] for dim in (1, 0))
    return Window((rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1))


class LocalSquare:
    """Goes before the authors' Square; in the other norms a query changes two windows, which may lie far apart."""

    bare: nn.Module | None

    def attack_single_run(self: Any, x: Tensor, y: Tensor) -> Any:
        network = self.predict
        if self.norm == "Linf" and self.bare is not None:
            self.predict = _LocalNetwork(network, self.bare, y)
        found = super().attack_single_run(x, y)  # type: ignore[misc]
        self.predict = network
        return found

    def p_selection(self: Any, it: int) -> float:
        share: float = super().p_selection(it)  # type: ignore[misc]
        if isinstance(self.predict, _LocalNetwork):  # rounded as Square rounds it
            _, height, width = self.orig_dim
            self.predict.size = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        return share
