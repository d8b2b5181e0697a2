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
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one member")
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        log_probabilities = torch.stack([member(x).log_softmax(dim=1) for member in self.members])
        return log_probabilities.logsumexp(dim=0) - math.log(len(self.members))
