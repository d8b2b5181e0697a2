"""Small models and images that make evaluations take milliseconds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from advss_zoo.data.corruptions import CORRUPTIONS, archive, generated
from advss_zoo.data.corruptions.archive import CIFAR10_C
from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation import runner


def patches(seed: int = 0) -> nn.Module:
    """A classifier of 8x8 patches: fast, deterministic, easily attacked."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)).eval()


def pictures(n: int, size: int = 32) -> ImageSet:
    """Smooth random images whose labels are mostly what `patches()` says, so that attacks have something to break."""
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    images = coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3)
    labels = random.randint(0, 10, n)
    if size == 32:
        with torch.no_grad():
            predicted = patches()(torch.from_numpy(images).float() / 255).argmax(dim=1).numpy()
        labels = np.where(random.rand(n) < 0.9, predicted, labels)
    return ImageSet("made-up", "test", images, labels.astype(np.int64), np.arange(n), tuple("abcdefghij"))


@pytest.fixture(autouse=True)
def _saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts are written after every pass, however short."""
    monkeypatch.setattr(runner, "SAVE_EVERY", 0.0)


@pytest.fixture(name="patches")
def _patches() -> nn.Module:
    return patches()


@pytest.fixture(name="pictures", scope="session")
def _pictures() -> ImageSet:
    return pictures(150)


@pytest.fixture(name="publish")
def _publish(tmp_path, monkeypatch):
    """Makes a CIFAR-10-C of given images, the corruptions being those of seed 5, where ADVSS_DATA says."""

    def publish(images: ImageSet) -> Path:
        folder = tmp_path / "CIFAR-10-C"
        folder.mkdir()
        for name in CORRUPTIONS:
            made = [generated(images, name, severity, seed=5).images.transpose(0, 2, 3, 1) for severity in range(1, 6)]
            np.save(folder / f"{name}.npy", np.concatenate(made))
        np.save(folder / "labels.npy", np.tile(images.labels.astype(np.uint8), 5))
        sums = {path.stem: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        published = {"cifar10": replace(CIFAR10_C, md5=sums, count=len(images))}
        monkeypatch.setattr(archive, "ARCHIVES", published)
        monkeypatch.setattr("advss_zoo.evaluation.protocols.corruptions.ARCHIVES", published)
        monkeypatch.setenv("ADVSS_DATA", str(tmp_path))
        monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
        return folder

    return publish
