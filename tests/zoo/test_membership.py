"""Which images a checkpoint has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from advss_zoo.errors import CheckpointError
from advss_zoo.zoo import SEEN, membership
from advss_zoo.zoo.membership import SeenImages


def keys(*numbers: int) -> NDArray[np.uint8]:
    """Some end in zeros, as one in 256 does."""
    return np.array([[*[number] * 12, *[0] * 4] for number in numbers], np.uint8).reshape(-1, 16)


def test_it_comes_back(tmp_path: Path) -> None:
    seen = SeenImages.of([SeenImages(keys(3, 1, 3), keys(2)), SeenImages(keys(5), keys())])
    found = membership.read(tmp_path, seen.write(tmp_path))
    assert np.array_equal(found.trained, keys(1, 3, 5))
    assert np.array_equal(found.validated, keys(2))
    assert (tmp_path / SEEN).stat().st_size < 4 * 16 + 300


def test_which_images_have_been_seen() -> None:
    seen = SeenImages(keys(0, 1, 3), keys(2, 3))
    trained, validated = seen.which(keys(4, 3, 2, 1, 0, 4))
    assert trained.tolist() == [False, True, False, True, True, False]
    assert validated.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a list of images"),
        (b"\xff" * 100, "its header is too large"),
        (save({"trained": keys(1)}), "it has the arrays trained"),
        (save({"trained": keys(1), "validated": np.zeros((1, 8), np.uint8)}), r"expected uint8 \(N, 16\)"),
        (save({"trained": keys(1), "validated": np.zeros((1, 16), np.float32)}), r"an array is float32 \(1, 16\)"),
    ],
)
def test_damaged_files_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / SEEN).write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        membership.read(tmp_path)


def test_another_file_than_the_configuration_names(tmp_path: Path) -> None:
    SeenImages(keys(1), keys()).write(tmp_path)
    with pytest.raises(CheckpointError, match="has been changed or damaged"):
        membership.read(tmp_path, "0" * 64)
    with pytest.raises(CheckpointError, match="is missing"):
        membership.read(tmp_path / "elsewhere", "0" * 64)
