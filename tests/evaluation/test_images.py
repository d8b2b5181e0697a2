"""What can be evaluated: image sets, and arrays of the user's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advss_zoo.errors import DataError
from advss_zoo.evaluation.images import as_images

CPU = torch.device("cpu")


def test_an_image_set_keeps_its_name_index_and_hash(pictures):
    images = as_images(pictures.take([7, 3, 9]))
    assert (images.name, images.split, images.classes, len(images)) == ("made-up", "test", 10, 3)
    assert images.index.tolist() == [7, 3, 9]
    assert images.content_sha256 == pictures.take([7, 3, 9]).content_sha256
    x, y, index = images.batch(range(1, 3), CPU)
    assert index.tolist() == [3, 9]
    assert torch.equal(x, torch.from_numpy(pictures.images[[3, 9]]) / 255)
    assert y.tolist() == pictures.labels[[3, 9]].tolist()


def test_eight_bit_arrays_are_the_image_set_they_came_from(pictures):
    for images, labels in (
        (pictures.images, pictures.labels),
        (torch.from_numpy(pictures.images), torch.from_numpy(pictures.labels)),
        (pictures.images, pictures.labels.astype(np.uint8)),
        (pictures.images, pictures.labels.tolist()),
        (np.moveaxis(np.moveaxis(pictures.images, 1, 3).copy(), 3, 1), pictures.labels),
    ):
        assert as_images((images, labels)).content_sha256 == pictures.content_sha256


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_floats_stay_what_they_are(kind):
    values = torch.rand(9, 3, 8, 8).to(kind)
    x, _, _ = as_images((values, torch.zeros(9).long())).batch(range(9), CPU)
    assert x.dtype == torch.float32
    assert torch.equal(x, values.float())


def test_a_batch_is_a_copy():
    images = as_images((torch.ones(4, 3, 8, 8), [0, 1, 2, 3]))
    images.batch(range(4), CPU)[0].zero_()
    assert images.pixels.min() == 1


def test_doubles_may_round_to_the_ends_of_the_box():
    values = np.full((1, 3, 8, 8), 1 + 1e-12)
    assert as_images((values, [0])).batch(range(1), CPU)[0].max() == 1


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.full((2, 3, 8, 8), 200.0), "Divide them by 255"),
        (torch.randn(2, 3, 8, 8) * 2, "normalisation"),
        (torch.full((2, 3, 8, 8), float("nan")), "nan"),
        (torch.rand(2, 8, 8, 3), r"shape \(2, 8, 8, 3\)"),
        (torch.rand(3, 8, 8), r"shape \(3, 8, 8\)"),
        (torch.ones(2, 3, 8, 8, dtype=torch.int64), "int64"),
        (torch.ones(2, 3, 8, 8, dtype=torch.bool), "bool"),
        (torch.rand(3, 3, 8, 8), "3 images but 2 labels"),
    ],
)
def test_other_images_are_refused(images, says):
    with pytest.raises(DataError, match=says):
        as_images((images, [0, 1]))


@pytest.mark.parametrize("labels", [torch.eye(2), torch.tensor([0.0, 1.0]), torch.tensor([True, False]), 3])
def test_other_labels_are_refused(labels):
    with pytest.raises(DataError, match="Labels"):
        as_images((torch.rand(2, 3, 8, 8), labels))


def test_nothing_to_evaluate_is_refused(pictures):
    with pytest.raises(DataError, match="no images"):
        as_images((torch.rand(0, 3, 8, 8), torch.zeros(0).long()))
    with pytest.raises(DataError, match="no images"):
        as_images(pictures.take([]))


def test_what_torch_cannot_read_is_a_sentence():
    with pytest.raises(DataError):
        as_images((["a", "b"], [0, 1]))
    with pytest.raises(DataError):
        as_images((torch.rand(2, 3, 8, 8), ["a", "b"]))
