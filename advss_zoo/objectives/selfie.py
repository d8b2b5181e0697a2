"""Selfie (Trinh et al. 2019, arXiv 1906.02940): which of the hidden patches belongs where?"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.attention import SHAPES, AttentionPooling
from advss_zoo.models.network import Network, pooled
from advss_zoo.models.patches import cut
from advss_zoo.noise import per_image_uniform
from advss_zoo.objectives.base import Batch, Objective, Predictor
from advss_zoo.threat import Loss


class Selfie(Objective):
    """A quarter of the patches is hidden; the distractors of each are the other hidden patches of the same image."""

    name: Literal["selfie"] = "selfie"
    grid: int = Field(4, ge=2, le=16)
    transformer: Literal["code", "light", "mini"] = Field("code", description="its depth and width")
    mask: Literal["batch", "image"] = Field("batch", description="one choice of hidden patches a batch, or an image")
    # The released code takes a softmax before a cross-entropy that takes another: the loss of a position then lies in
    # [0.74, 1.74] and its gradient dies where the first one saturates. Off, logits are scaled by 1/sqrt(channels).
    double_softmax: bool = True

    def build(self, architecture: Architecture) -> Network:
        return Network(
            architecture, lambda trunk: AttentionPooling(trunk.out_channels, self.grid, SHAPES[self.transformer])
        )

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        drawn = index if self.mask == "image" else index[:1]
        draws = per_image_uniform((len(drawn), self.grid**2), drawn, seed, images.device)
        return Batch(images, draws.argsort(dim=1).expand(len(images), -1), index)

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        return self._summed_loss(model, inputs, batch) / len(inputs)

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        return lambda inputs: self._summed_loss(model, inputs, batch)

    def correct(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        logits = self.logits(model, inputs, batch)
        return logits.argmax(dim=2) == torch.arange(logits.shape[1], device=logits.device)

    def logits(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Return (B, hidden, hidden), float32: row i asks which hidden patch belongs to position i; it is patch i."""
        patches = cut(inputs, self.grid)
        features = model.features(patches.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        vectors = pooled(features).unflatten(0, patches.shape[:2])
        logits: Tensor = model.head(vectors, batch.targets)
        return logits.softmax(dim=2) if self.double_softmax else logits / math.sqrt(vectors.shape[2])

    def _summed_loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Over images and over hidden positions."""
        logits = self.logits(model, inputs, batch)
        targets = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
        return cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
