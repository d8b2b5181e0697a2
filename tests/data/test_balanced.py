from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.data import balanced, catalogue
from advss_zoo.data.balanced import balanced_order, positions
from advss_zoo.data.cache import cache_file
from advss_zoo.data.catalogue import CIFAR10, EDM_1M, Subset, find
from advss_zoo.data.get import get
from advss_zoo.data.load import load_data
from advss_zoo.data.sources import Arrays
from advss_zoo.data.splits import train_and_validation, train_validation_split
from advss_zoo.errors import DataError


@pytest.mark.usefixtures("tiny_edm")
class TestSubsets:
    def test_getting_one_gets_the_whole_and_loading_reads_only_the_subset(self, npz: Path, cache: Path) -> None:
        path = get("edm-30k", npz)
        assert sorted(file.name for file in (cache / "data").iterdir() if file.suffix != ".sha256") == [
            "edm-1m.safetensors",
            "edm-30k.safetensors",
        ]
        cache_file(EDM_1M).unlink()
        assert get("edm-30k") == path
        images = load_data("edm-30k", "train")
        assert len(images) == 50
        assert not isinstance(images.images, np.memmap)

    def test_a_smaller_one_is_the_beginning_of_a_larger_one(
        self, npz: Path, edm_arrays: Arrays, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(balanced, "PIECE", 7)
        for name in ("edm-30k", "edm-150k"):
            get(name, npz)
        small, large = load_data("edm-30k", "train"), load_data("edm-150k", "train")
        np.testing.assert_array_equal(small.images, large.first(50).images)
        np.testing.assert_array_equal(small.labels, large.first(50).labels)
        label_of = dict(zip(map(bytes, edm_arrays["image"].transpose(0, 3, 1, 2)), edm_arrays["label"], strict=True))
        assert len({bytes(image) for image in large.images}) == len(large) == 110
        assert [label_of[bytes(image)] for image in large.images] == large.labels.tolist()

    @pytest.mark.parametrize(("name", "count"), [("edm-30k", 30), ("edm-150k", 90)])
    def test_both_parts_are_balanced_and_validation_is_the_same(self, name: str, count: int, npz: Path) -> None:
        get(name, npz)
        images = load_data(name, "train")
        train, validation = train_and_validation(images)
        assert np.bincount(images.labels[train]).tolist() == [count // 10] * 10
        assert validation.tolist() == list(range(20))
        assert np.bincount(images.labels[validation]).tolist() == [2] * 10

    def test_too_few_images_of_a_class(self, npz: Path, edm_arrays: Arrays) -> None:
        np.savez(npz, **{**edm_arrays, "label": np.where(edm_arrays["label"] == 3, 4, edm_arrays["label"])})
        with pytest.raises(DataError, match=r"5 images per class are needed, but one class has 0\."):
            get("edm-30k", npz)


@given(st.lists(st.integers(0, 3), max_size=60), st.data())
def test_a_balanced_order_has_every_class_in_turn(rest: list[int], data: st.DataObject) -> None:
    labels = np.array([*range(4), *rest], dtype=np.uint8)
    each = data.draw(st.integers(1, int(np.bincount(labels).min())))
    order = balanced_order(labels, 4, 4 * each)
    assert labels[order].tolist() == [*range(4)] * each
    assert len(set(order.tolist())) == len(order)
    fewer = data.draw(st.integers(1, 4 * each))
    assert balanced_order(labels, 4, fewer).tolist() == order[:fewer].tolist()


def test_the_order_of_the_real_subsets_is_frozen() -> None:
    """100,000 images a class, sorted by class, as in the authors' file: the subsets may never change."""
    order = balanced_order(np.repeat(np.arange(10, dtype=np.uint8), 100_000), 10, 160_000)
    assert (
        hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
        == "abb1d76ba45cd9ef237be1057e853aea9bb7d9d7ad4ba3733390a98535f95f77"
    )


@pytest.mark.parametrize(("name", "count"), [("edm-30k", 30_000), ("edm-50k", 50_000), ("edm-150k", 150_000)])
def test_sizes_are_the_papers(name: str, count: int) -> None:
    dataset = find(name)
    assert isinstance(dataset, Subset)
    assert (dataset.count, dataset.held_out, dataset.whole) == (count, 10_000, EDM_1M)


@pytest.mark.parametrize(("name", "count"), [("cifar10-5k", 5_000), ("cifar10-15k", 15_000)])
class TestOfCifar10:
    def test_validation_is_everyones_and_nothing_of_it_is_trained_on(self, name: str, count: int) -> None:
        dataset = find(name)
        assert isinstance(dataset, Subset)
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10, dtype=np.uint8), 5_000))
        training, validation = train_validation_split()
        chosen = positions(dataset, labels)
        assert chosen[:5_000].tolist() == validation.tolist()
        trained = chosen[5_000:]
        assert len(trained) == len(set(trained.tolist())) == count == dataset.count
        assert set(trained.tolist()) < set(training.tolist())
        assert np.bincount(labels[trained]).tolist() == [count // 10] * 10

    @pytest.mark.usefixtures("cache")
    def test_getting_one_gets_the_training_images_of_cifar10(
        self,
        name: str,
        count: int,
        tiny: Arrays,
        torchvision_folder: Callable[..., Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Of 10 training images of one class, 2 are validated and 4 trained on; the test images are not among them."""
        tiny["train_labels"][:] = 0
        whole = replace(CIFAR10, sha256={key: catalogue.digest(array) for key, array in tiny.items()})
        subset = find(name)
        assert isinstance(subset, Subset)
        small = replace(subset, sha256=None, whole=whole, count=4, held_out=2, classes=CIFAR10.classes[:1])
        monkeypatch.setattr(catalogue, "DATASETS", {**catalogue.DATASETS, "cifar10": whole, name: small})
        torchvision_folder(tmp_path)
        get(name, tmp_path)
        images = load_data(name, "train")
        trained, validated = train_and_validation(images)
        expected = train_validation_split(10, 2)
        np.testing.assert_array_equal(images.images[validated], tiny["train_images"][expected[1]])
        official = {bytes(image) for image in tiny["train_images"][expected[0]]}
        assert len(trained) == 4
        assert {bytes(image) for image in images.images[trained]} < official

    @pytest.mark.nightly
    def test_no_real_image_of_test_or_validation_is_trained_on(self, name: str, count: int) -> None:
        """`advss data get cifar10` and that of the subset come first."""
        images, everything, test = load_data(name, "train"), load_data("cifar10", "train"), load_data("cifar10", "test")
        trained, _ = train_and_validation(images)
        training, _ = train_and_validation(everything)
        found = {bytes(image) for image in images.images[trained]}
        assert len(found) == count
        assert found < {bytes(image) for image in everything.images[training]}
        assert found.isdisjoint({bytes(image) for image in test.images})
