"""A classifier as another library opens it, taken apart into a record of ours and its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from advss_zoo.models.architecture import Architecture


class LibraryOptions(BaseModel):
    """What may follow the name: `?pretrained=false&img_size=32`; None is left to the library.

    `img_size` is that of the images, and of a model that takes one size only the size it is built for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: bool = True
    img_size: int | None = Field(None, ge=8, le=4096)
    drop_rate: float | None = Field(None, ge=0, lt=1)
    drop_path_rate: float | None = Field(None, ge=0, lt=1)


@dataclass(frozen=True)
class Pretrained:
    """The library's own `model` takes normalised images; `state` are its weights under the names of our network.

    `classes` are None where the library does not name them, and empty if it has no classifier.
    """

    model: nn.Module
    architecture: Architecture
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None


def split(model: nn.Module, classifier: str) -> dict[str, Tensor]:
    """Name a model's weights as `LibraryTrunk` and `LinearHead` do.

    Args:
        classifier: the name of its last linear layer; empty if it has none.
    """
    ends = f"{classifier}." if classifier else "\0"

    def ours(name: str) -> str:
        return f"head.linear.{name.removeprefix(ends)}" if name.startswith(ends) else f"trunk.model.{name}"

    return {ours(name): tensor for name, tensor in model.state_dict().items()}


def imagenet_classes() -> tuple[str, ...]:
    """Return the 1,000 classes of ImageNet as torchvision names them, in the order of their WordNet ids."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@contextmanager
def reproducible() -> Iterator[None]:
    """Draw the same random weights every time; the generators of the caller are left alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield
