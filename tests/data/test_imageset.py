from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import DataError, UsageError


def image_set(n: int = 6, **changed: Any) -> ImageSet:
    parts: dict[str, Any] = {
        "name": "tiny",
        "split": "test",
        "images": np.random.default_rng(0).integers(0, 256, (n, 3, 4, 5), dtype=np.uint8),
        "labels": np.arange(n, dtype=np.int64) % 3,
        "index": np.arange(n, dtype=np.int64) + 100,
        "classes": ("cat", "dog", "frog"),
    }
    return ImageSet(**{**parts, **changed})


@given(st.lists(st.integers(0, 5), max_size=10))
def test_taken_images_keep_their_labels_and_index(positions: list[int]) -> None:
    whole = image_set()
    part = whole.take(positions)
    assert len(part) == len(positions)
    np.testing.assert_array_equal(part.images, whole.images[positions])
    np.testing.assert_array_equal(part.labels, whole.labels[positions])
    np.testing.assert_array_equal(part.index, [100 + position for position in positions])
    assert (part.name, part.split, part.classes) == (whole.name, whole.split, whole.classes)


@pytest.mark.parametrize("positions", [[6], [0, -1]])
def test_a_position_outside_is_refused(positions: list[int]) -> None:
    with pytest.raises(UsageError, match=r"Position .* is outside the 6 images of tiny \(test\)"):
        image_set().take(positions)


@pytest.mark.parametrize(("asked", "got"), [(1, 1), (6, 6), (7, 6)])
def test_first(asked: int, got: int) -> None:
    assert image_set().first(asked).index.tolist() == list(range(100, 100 + got))


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_image(n: int) -> None:
    with pytest.raises(UsageError, match=r"At least one image"):
        image_set().first(n)


def test_the_content_hash_covers_images_then_labels() -> None:
    whole = image_set()
    expected = hashlib.sha256(whole.images.tobytes() + whole.labels.astype("<i8").tobytes()).hexdigest()
    assert whole.content_sha256 == expected
    assert whole.first(5).content_sha256 != expected
    assert image_set(labels=whole.labels[::-1]).content_sha256 != expected
    assert image_set(images=np.asfortranarray(whole.images)).content_sha256 == expected, "memory order leaks"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"images": np.zeros((6, 3, 4, 5), np.float32)}, "images are float32"),
        ({"images": np.zeros((6, 4, 5, 3), np.uint8)}, r"images are uint8 \(6, 4, 5, 3\)"),
        ({"labels": np.zeros(5, np.int64)}, r"labels are int64 \(5,\), expected int64 \(6,\)"),
        ({"index": np.zeros(6, np.int32)}, "index are int32"),
        ({"labels": np.full(6, 3)}, "labels go from 3 to 3, but there are 3 classes"),
        ({"labels": np.full(6, -1)}, "labels go from -1 to -1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        image_set(**changed)


def test_it_unpacks_into_tensors() -> None:
    whole = image_set()
    images, labels = whole.first(4)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert torch.equal((images * 255).round().byte(), torch.from_numpy(whole.images[:4]))
    assert 0 <= images.min() <= images.max() <= 1
    assert labels.tolist() == whole.labels[:4].tolist()
    images.zero_()
    assert whole.images.any()


def test_a_loader_goes_through_the_same_in_batches() -> None:
    images, labels = image_set()
    batches = list(image_set().loader(4))
    assert [len(x) for x, _ in batches] == [4, 2]
    assert torch.equal(torch.cat([x for x, _ in batches]), images)
    assert torch.equal(torch.cat([y for _, y in batches]), labels)
    shuffled = torch.cat([y for _, y in image_set().loader(3, shuffle=True)])
    assert sorted(shuffled.tolist()) == sorted(labels.tolist())
