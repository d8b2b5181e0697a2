"""Prediction by the mean of several classifiers' probabilities (Chen et al. 2020, Table 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Images (B,3,H,W) in [0,1] to the log of the members' mean probability (B,K).

    The log is what makes an attack on this model sound: softmax of the output is the averaged prediction and
    cross-entropy of it is -log p(y|x). Probabilities fed to a cross-entropy would pass a second softmax, where
    gradients die. Computed by logsumexp, so that no probability underflows.

    Args:
        names: what results call the members; left out: "member 1", "member 2", ...
    """

    def __init__(self, members: Sequence[nn.Module], names: Sequence[str] | None = None) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one member")
        if names is not None and len(names) != len(members):
            raise ValueError(f"names must be {len(members)}, one for each member, got {len(names)}")
        self.members = nn.ModuleList(members)
        self.names = tuple(names or (f"member {number}" for number in range(1, len(members) + 1)))

    def logits(self, x: Tensor) -> Tensor:
        """Return what each member says of images (B,3,H,W), side by side: (B,M,K)."""
        return torch.stack([member(x) for member in self.members], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return log_mean_probability(self.logits(x))


def log_mean_probability(logits: Tensor) -> Tensor:
    """Average the probabilities of M members: logits (B,M,K) to the log of the mean (B,K)."""
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])
