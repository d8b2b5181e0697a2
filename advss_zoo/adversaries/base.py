"""The interface of a training adversary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from advss_zoo.attacks.eps import parse_pixels
from advss_zoo.threat import Loss

# A size in pixel values, written as people write it: 8/255.
Pixels = Annotated[float, BeforeValidator(parse_pixels)]


class Adversary(BaseModel, ABC):
    """A phase of training under one adversary; its options are its fields.

    A recipe lists phases; each lasts until the given fraction of all steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    until: float = Field(1.0, gt=0, le=1)

    @abstractmethod
    def perturb(self, loss: Loss, x: Tensor, *, index: Tensor, seed: int, progress: float) -> Tensor:
        """Return perturbed images (B,3,H,W), detached; in [0,1], except with Gaussian noise.

        Args:
            loss: the sum over the batch of what is maximised.
            x: clean images (B,3,H,W) in [0,1].
            index: (B,) positions in the data set; with `seed` they determine the random starts.
            progress: how much of this phase is over, in [0,1].
        """

    @property
    @abstractmethod
    def passes(self) -> int:
        """Forward+backward passes an image that `perturb` takes."""

    @model_serializer(mode="wrap")
    def _with_name(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name} | serialize(self)


class BallAdversary(Adversary):
    """An adversary inside a ball whose radius may grow from `eps_start` to `eps` over its phase."""

    eps: Pixels = Field(8 / 255, gt=0, le=1)
    eps_start: Pixels | None = None

    def eps_at(self, progress: float) -> float:
        start = self.eps if self.eps_start is None else self.eps_start
        return start + (self.eps - start) * progress
