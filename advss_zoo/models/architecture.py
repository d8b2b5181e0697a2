"""What has to be known to build a network: the `architecture` entry of a checkpoint's config.json and of a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from advss_zoo.models.network import ClassifierHead, LinearHead, Network, Trunk

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Architecture(BaseModel, ABC):
    """A backbone: its fields are all that is needed to build it without network, `family` says whose record it is.

    A trunk fits another record if all fields are equal but those that it does not depend on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    apart_from_trunk: ClassVar[tuple[str, ...]] = ("num_classes",)

    family: str
    num_classes: int = Field(10, ge=2, le=100_000)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = IMAGENET_STD

    @abstractmethod
    def __str__(self) -> str:
        """Name it, as a reader of a table knows it."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Pixels a side of the images it is made for."""

    @property
    def takes_one_size(self) -> bool:
        """Tell whether it takes images of `image_size` only."""
        return False

    @abstractmethod
    def trunk(self) -> Trunk:
        """Build what pretraining makes and fine-tuning inherits, with fresh weights; `mode: f1` and `f2` freeze it."""

    def head(self, trunk: Trunk) -> ClassifierHead:
        """Build what makes logits of the trunk's features, with fresh weights."""
        return LinearHead(trunk.out_channels, self.num_classes)

    def classifier(self) -> Network:
        """Build the whole: images (B,3,H,W) in [0,1] to logits (B, num_classes)."""
        return Network(self, self.head)

    def check_side(self, side: int) -> str:
        """Say why the trunk cannot take images of so many pixels a side; empty if it can."""
        if not self.takes_one_size or side == self.image_size:
            return ""
        built = f"{self} is built for images of {self.image_size} pixels, got {side}"
        return f"{built}; {self.family}:NAME?img_size={side} builds another"

    def values_per_image(self, side: int) -> int:
        """Estimate the numbers that its widest layer gives for an image: as much as a ResNet-50 for ImageNet does."""
        return (side // 4) ** 2 * 256


class LibraryArchitecture(Architecture):
    """A classifier by its name in another library: features are the vector before its last linear layer."""

    model: str = Field(pattern=r"^[a-z0-9_]+$", max_length=100)  # never an address or a path
    img_size: int = Field(224, ge=8, le=4096, description="pixels a side; vision transformers take no others")

    def __str__(self) -> str:
        return self.model

    @property
    def image_size(self) -> int:
        return self.img_size
