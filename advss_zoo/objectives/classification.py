"""Supervised classification: cross-entropy on class labels (fine-tuning, and training from scratch)."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from torch import Tensor

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.resnetv2 import Network, ResNetV2
from advss_zoo.objectives.base import Batch, ClassObjective, Objective


class Supervised(ClassObjective, ABC):
    """What all objectives share that make a classifier out of the labels of the data."""

    makes: ClassVar[Literal["classifier", "trunk"]] = "classifier"

    def build(self, architecture: Architecture) -> Network:
        return ResNetV2(architecture)

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        return Batch(images, labels, index)

    @property
    def ships(self) -> Objective:
        return Classification()


class Classification(Supervised):
    """Plain cross-entropy."""

    name: Literal["classification"] = "classification"
