from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.splits import train_and_validation, train_validation_split
from advss_zoo.errors import UsageError

sizes = st.integers(0, 2_000).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count)))


@given(sizes, st.integers(0, 2**32 - 1))
def test_the_parts_are_disjoint_and_complete(size: tuple[int, int], seed: int) -> None:
    count, validation = size
    train, held_out = train_validation_split(count, validation, seed)
    assert len(held_out) == validation
    assert sorted([*train, *held_out]) == list(range(count))
    assert train.dtype == held_out.dtype == np.int64


@given(sizes, st.integers(0, 2**32 - 1))
def test_the_same_arguments_give_the_same_split(size: tuple[int, int], seed: int) -> None:
    for one, other in zip(train_validation_split(*size, seed), train_validation_split(*size, seed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_another_split() -> None:
    assert set(train_validation_split(seed=20)[1]) != set(train_validation_split(seed=21)[1])


def test_the_default_split_is_frozen() -> None:
    """Every checkpoint was chosen on these 5,000 images: the split may never change."""
    train, validation = train_validation_split()
    assert hashlib.sha256(train.astype("<i8").tobytes()).hexdigest() == (
        "908c6ab8e90c47cf03297fa9989dc7bee10e91a6f15fd83a2685fff436f5b900"
    )
    assert hashlib.sha256(validation.astype("<i8").tobytes()).hexdigest() == (
        "cf4ed5d41a663b26b6512aeeacf91ffa1d320e836ce1f728d501f0e3c63158f6"
    )


def image_set(name: str, count: int) -> ImageSet:
    zeros = np.zeros(count, np.int64)
    return ImageSet(name, "train", np.zeros((count, 3, 1, 1), np.uint8), zeros, zeros, ("cat",))


@pytest.mark.parametrize(("name", "count"), [("cifar10", 50_000), ("restricted-imagenet", 7_000), ("mine", 5_001)])
def test_data_sets_without_a_hold_out_share_one_split(name: str, count: int) -> None:
    expected = train_validation_split(count, seed=20)
    for found, part in zip(train_and_validation(image_set(name, count)), expected, strict=True):
        np.testing.assert_array_equal(found, part)


def test_a_hold_out_is_the_first_images() -> None:
    train, validation = train_and_validation(image_set("edm-30k", 40_000))
    assert validation.tolist() == list(range(10_000))
    assert train.tolist() == list(range(10_000, 40_000))
    assert train.dtype == validation.dtype == np.int64


@pytest.mark.parametrize(("count", "validation"), [(10, 11), (10, -1), (-1, -1)])
def test_a_validation_part_that_does_not_fit_is_refused(count: int, validation: int) -> None:
    with pytest.raises(UsageError, match=f"Cannot keep {validation} of {count} images"):
        train_validation_split(count, validation)
