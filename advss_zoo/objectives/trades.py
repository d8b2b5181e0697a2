"""TRADES (Zhang et al. 2019, arXiv 1901.08573): clean accuracy, and attacked predictions close to the clean ones."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from advss_zoo.models.precision import at_least_float32
from advss_zoo.objectives.base import Batch, Predictor
from advss_zoo.objectives.classification import Weighted
from advss_zoo.threat import Loss


class Trades(Weighted):
    """Cross-entropy on clean images plus `beta` times KL(clean || attacked).

    `attack` says what the adversary maximises: that divergence, or the cross-entropy as in one of the scripts of
    Chen et al. (which has beta = 1).
    """

    name: Literal["trades"] = "trades"
    passes: ClassVar[int] = 2
    beta: float = Field(6.0, ge=0)
    attack: Literal["kl", "ce"] = "kl"

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        attacked, clean = at_least_float32(model(inputs)), at_least_float32(model(batch.inputs))
        natural = self.cross_entropy(clean, batch)
        return natural + self.beta * _divergence(clean, attacked) / len(inputs)

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        if self.attack == "ce":
            return super().attack_loss(model, batch)
        with torch.no_grad():
            clean = at_least_float32(model(batch.inputs))
        return lambda inputs: _divergence(clean, at_least_float32(model(inputs)))


def _divergence(clean: Tensor, attacked: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(attacked)) of logits (B,K), summed over the batch."""
    return kl_div(attacked.log_softmax(dim=1), clean.log_softmax(dim=1), reduction="sum", log_target=True)
