"""The file that keeps a data set, read by safetensors itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from advss_zoo.data.cache import cache_file, read, write
from advss_zoo.data.catalogue import CIFAR100, EDM_1M
from advss_zoo.errors import DataError


@pytest.mark.usefixtures("cache")
class TestWrite:
    def test_safetensors_reads_what_was_written_in_pieces(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=np.uint8)
        labels = np.arange(7, dtype=np.uint8)
        write(CIFAR100, {"train_images": [images[:3], images[3:4], images[4:]], "train_labels": iter([labels])})
        with safe_open(cache_file(CIFAR100), framework="numpy") as file:
            np.testing.assert_array_equal(file.get_tensor("train_images"), images)
            np.testing.assert_array_equal(file.get_tensor("train_labels"), labels)
            assert file.metadata() == {
                "dataset": "cifar100",
                "train_images": hashlib.sha256(images.tobytes()).hexdigest(),
                "train_labels": hashlib.sha256(labels.tobytes()).hexdigest(),
            }

    def test_pieces_need_not_be_contiguous(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
        write(CIFAR100, {"test_images": [images], "test_labels": [np.zeros(2, np.uint8)]})
        np.testing.assert_array_equal(read(CIFAR100, "test")[0], images)

    def test_pieces_that_end_in_an_error_leave_nothing(self, cache: Path) -> None:
        def pieces() -> Iterator[np.ndarray]:
            yield np.zeros((1, 3, 2, 2), np.uint8)
            raise DataError("The rest is missing.")

        with pytest.raises(DataError, match=r"^The rest is missing\.$"):
            write(CIFAR100, {"train_images": pieces()})
        assert not list((cache / "data").iterdir())


@pytest.mark.usefixtures("cache")
class TestMapped:
    @pytest.fixture
    def images(self) -> np.ndarray:
        images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
        write(EDM_1M, {"train_images": [images], "train_labels": [np.arange(50, dtype=np.uint8) % 10]})
        return images

    def test_is_a_view_of_the_file_that_cannot_be_written(self, images: np.ndarray) -> None:
        mapped, labels = read(EDM_1M, "train")
        assert isinstance(mapped, np.memmap)
        assert not mapped.flags.writeable
        np.testing.assert_array_equal(mapped, images)
        assert labels.tolist() == [*range(10)] * 5

    @pytest.mark.parametrize("position", [4096, -1])
    def test_a_changed_byte_is_found(self, images: np.ndarray, position: int) -> None:
        content = bytearray(cache_file(EDM_1M).read_bytes())
        content[position] ^= 1
        cache_file(EDM_1M).write_bytes(content)
        with pytest.raises(DataError, match=r"is damaged: the sha256 of train_.*Run `advss data get edm-1m`"):
            read(EDM_1M, "train")

    @pytest.mark.parametrize("keep", [0, 5, 3000, 4096, 6000])
    def test_a_cut_file_is_damaged(self, images: np.ndarray, keep: int) -> None:
        cache_file(EDM_1M).write_bytes(cache_file(EDM_1M).read_bytes()[:keep])
        with pytest.raises(DataError, match=r"is damaged: "):
            read(EDM_1M, "train")
