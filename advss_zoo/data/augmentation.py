"""Random crop, flip and cutout, on the device that holds the images, each image's draw its own."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import pad

from advss_zoo.data.pixels import in_unit_range
from advss_zoo.noise import per_image_uniform

GREY = 0.5


class Augmentation(BaseModel):
    """The paper's training transform for CIFAR: horizontal flip, then a crop after padding with black.

    `cutout` is for few images: a grey square somewhere, whose side is this share of the image's (DeVries and Taylor
    2017); its centre lies in the image, so that part of it may not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: bool = True
    crop_padding: int = Field(4, ge=0, le=64)
    cutout: float = Field(0.0, ge=0, le=1)

    def scaled(self, factor: float) -> Augmentation:
        """Do the same to images of `factor` times the size: the crop's padding is in pixels."""
        return self.model_copy(update={"crop_padding": round(self.crop_padding * factor)})

    def __call__(self, images: Tensor, index: Tensor, seed: int) -> Tensor:
        """
        Args:
            images: uint8 (B,3,H,W).
            index: (B,) positions in the data set; with `seed` they determine what happens to each image.

        Returns:
            float32 (B,3,H,W) in [0,1], in channels-last memory order.
        """
        count, _, height, width = images.shape
        device = images.device
        draws = per_image_uniform((count, 5), index, seed, device)
        offsets = (draws[:, :2] * (2 * self.crop_padding + 1)).long()
        rows = offsets[:, :1] + torch.arange(height, device=device)
        columns = offsets[:, 1:] + torch.arange(width, device=device)
        if self.flip:
            columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
        padded = pad(images, [self.crop_padding] * 4).permute(0, 2, 3, 1)
        picked = padded[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]
        found = in_unit_range(picked.permute(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
        if self.cutout:
            tall, wide = (
                (torch.arange(side, device=device) - draws[:, place : place + 1] * side).abs() < self.cutout * side / 2
                for place, side in ((3, height), (4, width))
            )
            found.masked_fill_((tall[:, :, None] & wide[:, None, :])[:, None], GREY)
        return found
