from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advss_zoo.data.catalogue import CIFAR10
from advss_zoo.data.corruptions import CORRUPTIONS, archive
from advss_zoo.data.corruptions.archive import ARCHIVES, CIFAR10_C, Archive, locate, read
from advss_zoo.errors import DataError, UsageError

COUNT = 4


@pytest.fixture
def tiny(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A CIFAR-10-C of 4 images with two corruptions, in a folder of its own."""
    random = np.random.default_rng(0)
    folder = tmp_path / "archives" / "CIFAR-10-C"
    folder.mkdir(parents=True)
    for name in ("snow", "fog"):
        np.save(folder / f"{name}.npy", random.integers(0, 256, (5 * COUNT, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", np.tile(np.array([3, 8, 8, 0], np.uint8), 5))
    sums = {path.stem: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(
        archive, "ARCHIVES", {"cifar10": replace(CIFAR10_C, md5={**CIFAR10_C.md5, **sums}, count=COUNT)}
    )
    monkeypatch.setenv("ADVSS_DATA", str(folder.parent))
    yield folder
    assert not list(cache.rglob("*.part"))


@pytest.mark.parametrize("published", ARCHIVES.values(), ids=ARCHIVES)
def test_the_sums_of_all_files_are_known(published: Archive) -> None:
    assert set(published.md5) == {*CORRUPTIONS, "labels"}
    assert len(set(published.md5.values())) == 20


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_one_severity(tiny: Path, severity: int) -> None:
    images = read("cifar10", "snow", severity)
    rows = slice((severity - 1) * COUNT, severity * COUNT)
    np.testing.assert_array_equal(images.images, np.load(tiny / "snow.npy")[rows].transpose(0, 3, 1, 2))
    assert images.name == f"cifar10-c official snow {severity}"
    assert (images.split, images.classes) == ("test", CIFAR10.classes)
    assert images.labels.tolist() == [3, 8, 8, 0]
    assert images.index.tolist() == [0, 1, 2, 3]
    assert not images.images.flags.writeable


def test_the_cache_is_looked_at_first(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVSS_DATA")
    with pytest.raises(DataError, match=r"CIFAR-10-C is not on this machine: .*zenodo\.org/records/2535967"):
        read("cifar10", "snow", 1)
    (cache / "data").mkdir(parents=True, exist_ok=True)
    tiny.rename(cache / "data" / "CIFAR-10-C")
    assert len(read("cifar10", "snow", 1)) == COUNT


def test_the_usual_places_for_data_are_looked_at(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVSS_DATA")
    monkeypatch.chdir(tiny.parent.parent)
    with pytest.raises(DataError, match="not on this machine"):
        locate("cifar10")
    tiny.parent.rename("data")
    assert locate("cifar10").resolve() == Path("data/CIFAR-10-C").resolve()
    monkeypatch.chdir("/")
    monkeypatch.setenv("ADVSS_DATA", str(tiny.parent.parent / "data"))
    assert locate("cifar10") == tiny.parent.parent / "data" / "CIFAR-10-C"


def test_a_file_is_summed_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read("cifar10", "snow", 1)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("summed again"))
        read("cifar10", "snow", 2)
    read("cifar10", "fog", 2)


def test_a_file_that_changed_is_summed_again(tiny: Path) -> None:
    read("cifar10", "snow", 1)
    path = tiny / "snow.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))
    for _ in range(2):
        with pytest.raises(DataError, match=r"snow\.npy is damaged: its md5 is .* Unpack https"):
            read("cifar10", "snow", 1)


@pytest.mark.parametrize("missing", ["labels", "snow"])
def test_a_missing_file_is_named(tiny: Path, missing: str) -> None:
    (tiny / f"{missing}.npy").unlink()
    with pytest.raises(DataError, match=rf"{missing}\.npy of CIFAR-10-C is missing in .*CIFAR-10-C\. Unpack "):
        read("cifar10", "snow", 1)


def test_another_shape_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ARCHIVES", {"cifar10": replace(archive.ARCHIVES["cifar10"], count=5)})
    with pytest.raises(DataError, match=r"holds uint8 \(20, 32, 32, 3\), expected \(25, 32, 32, 3\)"):
        read("cifar10", "snow", 1)


@pytest.mark.parametrize(
    ("dataset", "name", "severity"), [("cifar10-1k", "snow", 1), ("cifar10", "rain", 1), ("cifar10", "snow", 6)]
)
def test_what_does_not_exist(dataset: str, name: str, severity: int) -> None:
    with pytest.raises(UsageError):
        read(dataset, name, severity)
