"""Pre-activation residual networks of the paper's shape (PAPER: "ResNet-50v2"; He et al. 2016, arXiv 1603.05027).

The network is two parts. `ResNetV2Trunk` is what pretraining makes and fine-tuning inherits (theta_p of the paper's
eq. 1): stem and stages 1 to 3. `Head` is what fine-tuning adds (theta_f): stage 4, average pooling, a linear layer.
As in the paper's released network there is no batch norm between the last stage and the pooling.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import ClassifierHead, Network, Trunk, pooled

STAGE_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class ResNetV2Architecture(Architecture):
    """A member of the family; the defaults are the paper's ResNet-50v2 for CIFAR-10 (section 4.1).

    The paper normalises CIFAR images with the ImageNet constants; kept, because it is part of the network.
    """

    family: Literal["resnetv2"] = "resnetv2"
    depth: Literal[18, 50] = 50
    width: int = Field(64, ge=1, le=1024, description="channels of the stem; stage s works at width * 2**(s-1)")
    stem: Literal["cifar", "imagenet"] = Field(
        "cifar", description="3x3 convolution; or, for 224x224 pixels, 7x7 and a max-pool, which halve the sides twice"
    )
    stem_bn: bool = Field(True, description="batch norm and ReLU after the first convolution")
    shortcut_bn: bool = Field(True, description="batch norm inside projection shortcuts")

    def __str__(self) -> str:
        return f"ResNet-{self.depth}v2" + (f" (width {self.width})" if self.width != 64 else "")

    @property
    def image_size(self) -> int:
        return 224 if self.stem == "imagenet" else 32

    def trunk(self) -> ResNetV2Trunk:
        return ResNetV2Trunk(self)

    def head(self, trunk: Trunk) -> Head:
        return Head(self)

    def classifier(self) -> ResNetV2:
        return ResNetV2(self)

    def values_per_image(self, side: int) -> int:
        """Count what a block of the first stage gives."""
        side = side // 4 if self.stem == "imagenet" else side
        return side**2 * self.width * BLOCKS[self.depth].expansion


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class PreactivationBlock(nn.Module):
    """out = shortcut + convolutions(relu(bn(x))), for both block kinds.

    A projection shortcut reads the pre-activated input, an identity shortcut the raw one.
    """

    expansion: int

    def __init__(self, inputs: int, width: int, stride: int, shortcut_bn: bool) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.bn1 = nn.BatchNorm2d(inputs)
        self._add_convolutions(inputs, width, stride)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            projection = [_conv(inputs, outputs, 1, stride)]
            self.shortcut = nn.Sequential(*projection, *([nn.BatchNorm2d(outputs)] if shortcut_bn else []))

    def _add_convolutions(self, inputs: int, width: int, stride: int) -> None:
        raise NotImplementedError

    def _residual(self, activated: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def layers(self) -> list[tuple[nn.BatchNorm2d, nn.Conv2d]]:
        """The convolutions beside the shortcut in their order, each with the batch norm before it."""
        numbers = (1, 2, 3) if isinstance(self, Bottleneck) else (1, 2)
        return [(getattr(self, f"bn{number}"), getattr(self, f"conv{number}")) for number in numbers]

    def forward(self, x: Tensor) -> Tensor:
        activated = torch.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return shortcut + self._residual(activated)


class BasicBlock(PreactivationBlock):
    """Two 3x3 convolutions (depth 18)."""

    expansion = 1

    def _add_convolutions(self, inputs: int, width: int, stride: int) -> None:
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)

    def _residual(self, activated: Tensor) -> Tensor:
        return self.conv2(torch.relu(self.bn2(self.conv1(activated))))


class Bottleneck(PreactivationBlock):
    """1x1, 3x3 (which carries the stride), 1x1 convolutions (depth 50)."""

    expansion = 4

    def _add_convolutions(self, inputs: int, width: int, stride: int) -> None:
        self.conv1 = _conv(inputs, width, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, 1)

    def _residual(self, activated: Tensor) -> Tensor:
        y = self.conv2(torch.relu(self.bn2(self.conv1(activated))))
        return self.conv3(torch.relu(self.bn3(y)))


BLOCKS: dict[int, type[PreactivationBlock]] = {18: BasicBlock, 50: Bottleneck}


def _stage(architecture: ResNetV2Architecture, number: int) -> nn.Sequential:
    """Stage 1 to 4; its first block changes the width and, from stage 2 on, halves the resolution."""
    block = BLOCKS[architecture.depth]
    width = architecture.width * 2 ** (number - 1)
    inputs = architecture.width if number == 1 else width // 2 * block.expansion
    layers = []
    for position in range(STAGE_BLOCKS[architecture.depth][number - 1]):
        stride = 2 if number > 1 and position == 0 else 1
        layers.append(block(inputs, width, stride, architecture.shortcut_bn))
        inputs = width * block.expansion
    return nn.Sequential(*layers)


class ResNetV2Trunk(Trunk):
    """Stem and stages 1 to 3: normalised images (B,3,H,W) to features (B, out_channels, H/4, W/4).

    With the stem for ImageNet the features are (B, out_channels, H/16, W/16); the state keys are the same.
    """

    def __init__(self, architecture: ResNetV2Architecture) -> None:
        super().__init__()
        large = architecture.stem == "imagenet"
        self.conv1 = _conv(3, architecture.width, 7, 2) if large else _conv(3, architecture.width, 3)
        self.bn1 = nn.BatchNorm2d(architecture.width) if architecture.stem_bn else None
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        self.layer1 = _stage(architecture, 1)
        self.layer2 = _stage(architecture, 2)
        self.layer3 = _stage(architecture, 3)
        self.out_channels = architecture.width * 4 * BLOCKS[architecture.depth].expansion

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if self.bn1 is not None:
            x = torch.relu(self.bn1(x))
        return self.layer3(self.layer2(self.layer1(self.pool(x))))


class Head(ClassifierHead):
    """Stage 4, average pooling over all positions, linear layer: trunk features to logits (B, num_classes)."""

    def __init__(self, architecture: ResNetV2Architecture) -> None:
        super().__init__()
        self.layer4 = _stage(architecture, 4)
        self.linear = nn.Linear(architecture.width * 8 * BLOCKS[architecture.depth].expansion, architecture.num_classes)

    def pooled(self, features: Tensor) -> Tensor:
        """Return the vector before the linear layer (B, 8 * width * expansion)."""
        return pooled(self.layer4(features))


class ResNetV2(Network):
    """Images (B,3,H,W) in [0,1] to logits (B, num_classes)."""

    architecture: ResNetV2Architecture
    trunk: ResNetV2Trunk

    def __init__(self, architecture: ResNetV2Architecture) -> None:
        super().__init__(architecture, architecture.head)
