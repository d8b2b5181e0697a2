"""RSLAD (Zi et al. 2021, arXiv 2108.07969): what a robust teacher says of clean images is the label everywhere.

Of clean and of attacked images, in what is minimised and in what the adversary maximises. The loss is the cross-entropy
with those soft labels: their KL divergence plus their entropy, which neither weights nor perturbations change.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from advss_zoo.models.precision import at_least_float32
from advss_zoo.objectives.base import Batch, Predictor
from advss_zoo.objectives.classification import Weighted
from advss_zoo.threat import Loss


class Rslad(Weighted):
    """Attacked images count five times as much as clean ones, as in the authors' code."""

    name: Literal["rslad"] = "rslad"
    passes: ClassVar[int] = 2
    clean: float = Field(1 / 6, ge=0, lt=1, description="share of the loss on clean images")

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        attacked, clean = (
            self.cross_entropy(at_least_float32(model(images)), batch) for images in (inputs, batch.inputs)
        )
        return (1 - self.clean) * attacked + self.clean * clean

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        return lambda inputs: cross_entropy(at_least_float32(model(inputs)), batch.labels, reduction="sum")
