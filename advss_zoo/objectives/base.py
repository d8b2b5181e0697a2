"""The interface of an objective: everything the trainer has to know about a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What one step works on: the transformed images and what the loss compares the outputs with."""

    inputs: Tensor  # T(x), float (B,3,H,W) in [0,1]; the adversary perturbs these
    targets: Tensor  # (B,) class indices of the task
    index: Tensor  # (B,) positions in the data set, which seed everything random about an image


class Objective(BaseModel, ABC):
    """The options of an objective are its fields; `name` is what a recipe calls it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str

    @abstractmethod
    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        """T: augmented images (B,3,H,W) and their labels (B,) to what the task is about."""

    @abstractmethod
    def loss(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        """The scalar (mean over the batch) that training minimises, at clean or perturbed `inputs` (B,3,H,W)."""

    @abstractmethod
    def attack_loss(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        """The scalar (sum over the batch) that the adversary maximises."""

    @abstractmethod
    def correct(self, model: nn.Module, inputs: Tensor, batch: Batch) -> Tensor:
        """Which images (B,) the model gets right: TA on clean inputs, RA on attacked ones."""
