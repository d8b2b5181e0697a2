"""Random crop and flip, on the device that holds the images, each image's draw its own."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import pad

from advss_zoo.attacks.noise import per_image_uniform


class Augmentation(BaseModel):
    """The paper's training transform for CIFAR: horizontal flip, then a crop after padding with black."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: bool = True
    crop_padding: int = Field(4, ge=0, le=64)

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
        draws = per_image_uniform((count, 3), index, seed, device)
        offsets = (draws[:, :2] * (2 * self.crop_padding + 1)).long()
        rows = offsets[:, :1] + torch.arange(height, device=device)
        columns = offsets[:, 1:] + torch.arange(width, device=device)
        if self.flip:
            columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns)
        padded = pad(images, [self.crop_padding] * 4).permute(0, 2, 3, 1)
        picked = padded[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2).float() / 255
