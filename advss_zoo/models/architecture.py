"""What has to be known to build a network: the `architecture` entry of a checkpoint's config.json and of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Architecture(BaseModel):
    """A member of the ResNet-v2 family; the defaults are the paper's ResNet-50v2 for CIFAR-10 (section 4.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["resnetv2"] = "resnetv2"
    depth: Literal[18, 50] = 50
    width: int = Field(64, ge=1, le=1024, description="channels of the stem; stage s works at width * 2**(s-1)")
    stem: Literal["cifar", "imagenet"] = Field(
        "cifar", description="3x3 convolution; or, for 224x224 pixels, 7x7 and a max-pool, which halve the sides twice"
    )
    stem_bn: bool = Field(True, description="batch norm and ReLU after the first convolution")
    shortcut_bn: bool = Field(True, description="batch norm inside projection shortcuts")
    num_classes: int = Field(10, ge=2, le=100_000)
    # The paper normalises CIFAR images with the ImageNet constants; kept, because it is part of the network.
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = IMAGENET_STD

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the stem is made for."""
        return 224 if self.stem == "imagenet" else 32
