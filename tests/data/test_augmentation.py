"""Augmentation: bytes in, floats out, and each image's draw its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from advss_zoo.data.augmentation import GREY, Augmentation

SIDE = 12


def pictures(count: int = 6) -> Tensor:
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_nothing_asked_for_changes_nothing() -> None:
    images = pictures()
    found = Augmentation(flip=False, crop_padding=0)(images, torch.arange(6), 3)
    assert torch.equal(found, images.float() / 255)
    assert found.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=15, deadline=None)
@given(cutout=st.sampled_from([0.25, 0.5, 1.0]), seed=st.integers(0, 2**62))
def test_cutout_is_a_grey_square_or_the_part_of_one_that_lies_inside(cutout: float, seed: int) -> None:
    images = pictures()
    plain = Augmentation()(images, torch.arange(6), seed)
    changed = (Augmentation(cutout=cutout)(images, torch.arange(6), seed) != plain).any(dim=1)
    kept = Augmentation(cutout=cutout)(images, torch.arange(6), seed)
    largest = round(cutout * SIDE)
    for image, hit, before in zip(kept, changed, plain, strict=True):
        rows, columns = hit.any(dim=1).nonzero().flatten(), hit.any(dim=0).nonzero().flatten()
        assert 1 <= len(rows) <= largest and 1 <= len(columns) <= largest  # noqa: PT018
        box = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == GREY).all()
        assert torch.equal(image[:, ~hit], before[:, ~hit])


def test_what_happens_to_an_image_is_its_own() -> None:
    images, augmentation = pictures(), Augmentation(cutout=0.5)
    together = augmentation(images, torch.arange(6), 5)
    for place in range(6):
        assert torch.equal(augmentation(images[place : place + 1], torch.tensor([place]), 5)[0], together[place])
    assert not torch.equal(augmentation(images, torch.arange(6), 6), together)


def test_for_images_of_half_the_size_the_crop_is_padded_by_half_as_much() -> None:
    augmentation = Augmentation(crop_padding=4, flip=False, cutout=0.5)
    assert augmentation.scaled(0.5) == Augmentation(crop_padding=2, flip=False, cutout=0.5)
    assert augmentation.scaled(1) == augmentation


@pytest.mark.parametrize("cutout", [-0.1, 1.1, "half"])
def test_what_is_no_share_is_refused(cutout: object) -> None:
    with pytest.raises(ValueError, match="cutout"):
        Augmentation(cutout=cutout)  # type: ignore[arg-type]
