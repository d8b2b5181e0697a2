"""A few real photographs in class folders, in a working folder of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_training import cache, pretrained, recipe_file, small_cache  # noqa: F401  fixtures

from advss_zoo.data.subset import load_subset


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12 cats and 12 ships of CIFAR-10's test split: 18 to train on, 2 to validate with, 4 to test on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    real = load_subset()
    for name in ("cat", "ship"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in np.flatnonzero(real.labels == real.classes.index(name))[:12]:
            Image.fromarray(real.images[number].transpose(1, 2, 0)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"
