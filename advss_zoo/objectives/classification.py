"""Supervised classification: cross-entropy on class labels (fine-tuning, and training from scratch)."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn.functional import cross_entropy

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Network
from advss_zoo.models.precision import at_least_float32
from advss_zoo.objectives.base import Batch, ClassObjective, Objective, Predictor


class Supervised(ClassObjective, ABC):
    """What all objectives share that make a classifier out of the labels of the data."""

    makes: ClassVar[Literal["classifier", "trunk"]] = "classifier"

    def build(self, architecture: Architecture) -> Network:
        return architecture.classifier()

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        return Batch(images, labels, index)

    @property
    def deployed(self) -> Objective:
        return Classification()

    @property
    def validation_objective(self) -> Objective:
        """RA is that of PGD on the cross-entropy with the true class, whatever the adversary of training maximises."""
        return Classification()


class Weighted(Supervised, ABC):
    """Objectives that can count images of rare classes more than others, and learn a teacher's soft labels."""

    class_weights: tuple[PositiveFloat, ...] = Field((), description="of the cross-entropy, by class; empty: all alike")

    def cross_entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean over a batch, with smoothed labels, soft or hard; each image times the weight of its
        class.
        """
        if not self.class_weights:
            return cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        losses = cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing, reduction="none")
        return (losses * losses.new_tensor(self.class_weights)[batch.targets]).mean()

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        return self.cross_entropy(at_least_float32(model(inputs)), batch)


class Classification(Weighted):
    """Plain cross-entropy; with a teacher's soft labels where a recipe has one. The attack knows the hard ones."""

    name: Literal["classification"] = "classification"
