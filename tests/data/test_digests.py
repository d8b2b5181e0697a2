"""A file is hashed once for each state it is in, and a part of it is not taken for another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from advss_zoo.data import digests
from advss_zoo.data.cache import cache_file, intact, read, write
from advss_zoo.data.catalogue import EDM_1M
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load_data
from advss_zoo.errors import DataError
from advss_zoo.files import write_atomically

COUNT = 50


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of bytes that sha256 is computed of, where these are more than labels."""
    seen, sha256 = [], hashlib.sha256

    def counting(content: bytes | memoryview = b"") -> object:
        size = memoryview(content).nbytes
        if size > 8 * COUNT:
            seen.append(size)
        return sha256(content)

    monkeypatch.setattr(hashlib, "sha256", counting)
    return seen


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
    write(EDM_1M, {"train_images": [images], "train_labels": [np.arange(COUNT, dtype=np.uint8) % 10]})
    return images


def test_a_mapped_file_is_hashed_once(images: np.ndarray, hashed: list[int]) -> None:
    for _ in range(3):
        found = load_data("edm-1m", "train")
        assert (
            found.content_sha256
            == ImageSet("x", "train", images, found.labels, found.index, found.classes).content_sha256
        )
        hashed.pop()  # of the copy in memory
        first = found.first(7)
        assert first.content_sha256 == hashlib.sha256(images[:7].tobytes() + first.labels.tobytes()).hexdigest()
        hashed.pop()  # of the comparison
    assert hashed == [images.nbytes, images.nbytes, images[:7].nbytes], "to verify it, and what evaluations name"


def test_other_parts_and_labels_have_digests_of_their_own(images: np.ndarray) -> None:
    found = load_data("edm-1m", "train")
    other = found.take([1, 0])
    parts = [found.content_sha256, found.first(2).content_sha256, other.content_sha256]
    parts += [digests.of_images(found.images[2:4], found.labels[:2]), digests.of_images(found.images, found.labels + 1)]
    assert len(set(parts)) == 5
    assert parts[3] == digests.of_images(images[2:4], found.labels[:2])


def test_a_file_that_was_changed_is_hashed_again(images: np.ndarray) -> None:
    read(EDM_1M, "train")
    path = cache_file(EDM_1M)
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-200] ^= 1
    write_atomically(path, lambda file: file.write(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy that keeps times
    with pytest.raises(DataError, match="damaged"):
        read(EDM_1M, "train")


def test_all_of_it_is_read_where_that_is_asked_for(images: np.ndarray) -> None:
    """A disk that decays changes neither times nor sizes."""
    read(EDM_1M, "train")
    path = cache_file(EDM_1M)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-200, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-200, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read(EDM_1M, "train")
    assert not intact(EDM_1M)


@pytest.mark.parametrize("content", ["", "[]", '{"stamp": 1}', '{"stamp": null, "digests": {"a": 1}}'])
def test_what_is_kept_may_be_damaged(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("something")
    path.with_name(path.name + digests.SUFFIX).write_text(content)
    assert [digests.remembered(path, "a", lambda: "digest") for _ in range(2)] == ["digest"] * 2
