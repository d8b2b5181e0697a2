"""Supervised classification: cross-entropy on class labels (fine-tuning, and training from scratch)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advss_zoo.objectives.base import Batch, Objective


class Classification(Objective):
    name: Literal["classification"] = "classification"
    # Smoothing regularises the weights; the adversary always attacks the hard labels.
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        return Batch(images, labels, index)

    def loss(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(model(inputs).float(), batch.targets, label_smoothing=self.label_smoothing)

    def attack_loss(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(model(inputs).float(), batch.targets, reduction="sum")

    def correct(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        return model(inputs).argmax(dim=1) == batch.targets
