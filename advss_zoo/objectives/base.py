"""The interface of an objective: everything the trainer has to know about a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Network
from advss_zoo.models.precision import at_least_float32
from advss_zoo.threat import Loss

# Where a batch holds several views of an image, the index of each is shifted by this much, so that every view has
# random starts of its own.
VIEW_STRIDE = 1 << 40


@dataclass(frozen=True)
class Batch:
    """What one step works on: the transformed images and what the loss compares the outputs with."""

    inputs: Tensor  # T(x), float (B,3,H,W) in [0,1]; the adversary perturbs these
    targets: Tensor  # (B,) class indices of the task, or (B,n) permutations
    index: Tensor  # (B,) positions in the data set, which seed everything random about an image
    soft: Tensor | None = field(default=None, kw_only=True)  # (B,K) probabilities of the classes, where a teacher says

    @property
    def labels(self) -> Tensor:
        """What a cross-entropy compares logits with: soft labels where there are any, else the targets."""
        return self.targets if self.soft is None else self.soft


class Predictor(Protocol):
    """A network as an objective sees it: a trunk and the head of its task."""

    @property
    def head(self) -> nn.Module: ...

    def features(self, x: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor: ...


class Objective(BaseModel, ABC):
    """The options of an objective are its fields; `name` is what a recipe calls it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    makes: ClassVar[Literal["classifier", "trunk"]] = "trunk"
    passes: ClassVar[int] = 1  # forward+backward passes per image of `loss`

    @abstractmethod
    def build(self, architecture: Architecture) -> Network:
        """Return the network that is trained, with fresh weights."""

    @abstractmethod
    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        """Apply T: augmented images (B,3,H,W) and their labels (B,) to the batch of the task."""

    @abstractmethod
    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Return the task's loss, a scalar (mean over the batch), at clean or perturbed `inputs` (B,3,H,W)."""

    def training_loss(self, model: Predictor, inputs: Tensor, batch: Batch, clean_weight: float) -> Tensor:
        """Return what training minimises: the loss at perturbed `inputs`, mixed with that at clean ones."""
        return self.mixed(self.loss(model, inputs, batch), model, batch, clean_weight)

    def mixed(self, attacked: Tensor, model: Predictor, batch: Batch, clean_weight: float) -> Tensor:
        """Mix the loss at perturbed inputs, a scalar, with that at clean ones, which is computed if it counts."""
        if clean_weight == 0:
            return attacked
        return (1 - clean_weight) * attacked + clean_weight * self.loss(model, batch.inputs, batch)

    @property
    def attacks_by_second_derivatives(self) -> bool:
        """Tell whether the attack takes gradients of gradients."""
        return False

    @abstractmethod
    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        """Return what the adversary maximises: perturbed inputs to a scalar, the sum over the batch."""

    @abstractmethod
    def correct(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Return which questions the model answers rightly, bool (B,) or (B,n): TA on clean inputs, RA on attacked
        ones.
        """

    def undo(self, views: Tensor, batch: Batch) -> Tensor:
        """Return views (B,C,H,W) made by `transform`, pixels back where they are in the image (T is a permutation of
        them).
        """
        return views

    @property
    def deployed(self) -> Objective:
        """The objective whose network a checkpoint holds: this one, without what only training needs."""
        return self

    @property
    def validation_objective(self) -> Objective:
        """What validation attacks and measures: this objective without what only training adds to it."""
        return self

    @model_serializer(mode="wrap")
    def _with_name(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name} | serialize(self)


class ClassObjective(Objective):
    """Tasks whose targets are class indices (B,): those of the data, or those that a pretext task makes up."""

    # Smoothing regularises the weights; the adversary always attacks the hard labels.
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(at_least_float32(model(inputs)), batch.targets, label_smoothing=self.label_smoothing)

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        return lambda inputs: cross_entropy(at_least_float32(model(inputs)), batch.targets, reduction="sum")

    def correct(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        return model(inputs).argmax(dim=1) == batch.targets
