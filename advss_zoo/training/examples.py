"""The images that a run works on, on the device that it works on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advss_zoo.data import load as data
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.splits import Index, train_and_validation
from advss_zoo.errors import UsageError
from advss_zoo.training.recipe import Recipe
from advss_zoo.zoo.membership import SeenImages

HELD_AT_MOST = 8 << 30  # bytes; larger sets stay on the disk and are read batch by batch


class Examples:
    """Part of an image set, as bytes: on the device if it is not too large."""

    def __init__(self, images: ImageSet, positions: Index, device: torch.device) -> None:
        self._images, self._positions, self._device = images.images, positions, device
        self.labels = torch.from_numpy(images.labels[positions]).to(device)
        small = len(positions) * images.images[:1].nbytes <= HELD_AT_MOST
        self._held = torch.from_numpy(self._images[positions]).to(device) if small else None

    def __len__(self) -> int:
        return len(self._positions)

    def images(self, index: Tensor) -> Tensor:
        """Return uint8 (B,3,H,W) of the given positions in this part, (B,)."""
        if self._held is not None:
            return self._held[index]
        return torch.from_numpy(self._images[self._positions[index.cpu().numpy()]]).to(self._device)


@dataclass(frozen=True)
class TrainingData:
    """The training images of a data set in two parts, `available` of them; what it is called and its classes.

    `value_range` and `seen` are None where its images have 8 bits, and have no sha256.
    """

    name: str
    classes: tuple[str, ...]
    available: int
    training: Examples
    validation: Examples
    value_range: tuple[float, float] | None = None
    seen: SeenImages | None = None


def load_training_data(recipe: Recipe, device: torch.device) -> TrainingData:
    """Load the images that a recipe trains on, and those that it is validated on; never those for testing.

    Raises:
        UsageError: their size or the number of their classes is not that of the recipe.
    """
    everything = data.load_data(
        recipe.data, "train", image_size=recipe.side, parts=recipe.parts, group_by=recipe.group_by
    )
    training, validation = train_and_validation(everything)
    validation = validation[: recipe.validation.images]
    sha256 = everything.sha256
    name, classes, found = everything.name, everything.classes, everything.images.shape[-1]
    if found != recipe.side:
        raise UsageError(
            f"Images of {name} have {found} pixels a side, but the recipe has {recipe.side}.",
            f"Add image_size={found}.",
        )
    outputs = recipe.architecture.num_classes
    if recipe.objective.makes == "classifier" and outputs != len(classes):
        raise UsageError(
            f"{recipe.data} has {len(classes)} classes, but the network has {outputs} outputs.",
            f"Add architecture.num_classes={len(classes)}.",
        )
    return TrainingData(
        name,
        classes,
        available=len(everything),
        training=Examples(everything, training, device),
        validation=Examples(everything, validation, device),
        value_range=everything.value_range,
        seen=None if sha256 is None else SeenImages.of([SeenImages(sha256[training], sha256[validation])]),
    )


def resized(images: Tensor, side: int) -> Tensor:
    """Shrink uint8 images (B,3,H,H) to (B,3,side,side); each pixel is the rounded mean over the area that it covers.

    Where `side` does not divide H, areas of neighbouring pixels overlap, as in PyTorch's mode `area`.
    """
    if images.shape[-1] == side:
        return images
    return interpolate(images.float(), (side, side), mode="area").round().byte()
