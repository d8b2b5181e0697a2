"""Adversarial training with an auxiliary rotation task at once (Hendrycks et al. 2019, arXiv 1906.12340).

The one-shot baseline of the paper's Figure 3: no pretraining, but a second head that tells by how much an image was
turned. Their code lets the centre of the ball move with the random start, so that perturbations reach twice eps;
here they do not.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import ClassifierHead, Network
from advss_zoo.models.precision import at_least_float32
from advss_zoo.objectives.base import VIEW_STRIDE, Batch, Predictor
from advss_zoo.objectives.classification import Supervised
from advss_zoo.objectives.rotation import ANGLES, rotated
from advss_zoo.threat import Loss


class OneShot(Supervised):
    """A batch is B images for classification and each of them turned by 0, 90, 180 and 270 degrees (5B in all)."""

    name: Literal["oneshot"] = "oneshot"
    rotation_weight: float = Field(0.5, ge=0, description="of the mean rotation loss in what is minimised")
    attack_rotation_weight: float = Field(1.0, ge=0, description="of the summed rotation loss in the attack")

    def build(self, architecture: Architecture) -> Network:
        network = architecture.classifier()
        assert isinstance(network.head, ClassifierHead)
        network.head.rotation = nn.Linear(network.head.linear.in_features, ANGLES)  # on the vector that classes have
        return network

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        turns = torch.arange(ANGLES, device=images.device).repeat_interleave(len(images))
        views = torch.cat([images, rotated(images.repeat(ANGLES, 1, 1, 1), turns)])
        everyone = torch.cat([index + view * VIEW_STRIDE for view in range(1 + ANGLES)])
        return Batch(views, torch.cat([labels, turns]), everyone)

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        classes, turns = self._losses(model, inputs, batch, self.label_smoothing)
        return classes.mean() + self.rotation_weight * turns.mean()

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        def summed(inputs: Tensor) -> Tensor:
            classes, turns = self._losses(model, inputs, batch)
            return classes.sum() + self.attack_rotation_weight * turns.sum()

        return summed

    def correct(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        count = len(inputs) // (1 + ANGLES)
        return super().correct(model, inputs[:count], Batch(inputs, batch.targets[:count], batch.index))

    def _losses(
        self, model: Predictor, inputs: Tensor, batch: Batch, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropies of the B images (classes) and of the 4B turned ones (turns)."""
        head = model.head
        assert isinstance(head, ClassifierHead)
        count = len(inputs) // (1 + ANGLES)
        vectors = head.pooled(model.features(inputs))
        classes = at_least_float32(head.linear(vectors[:count]))
        turns = at_least_float32(head.get_submodule("rotation")(vectors[count:]))
        targets = batch.targets
        return (
            cross_entropy(classes, targets[:count], reduction="none", label_smoothing=label_smoothing),
            cross_entropy(turns, targets[count:], reduction="none"),
        )
