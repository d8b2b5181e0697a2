from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advss_zoo.data import catalogue, subset
from advss_zoo.data.load import load_data, names
from advss_zoo.errors import DataError, UsageError


def test_the_bundled_images_are_the_first_1000_of_the_test_split() -> None:
    """The sums were taken from the official arrays: test_images[:1000] and test_labels[:1000] as uint8."""
    bundled = load_data("cifar10-1k", "test")
    assert hashlib.sha256(bundled.images.tobytes()).hexdigest() == (
        "f167149948fc8fe0b9a76ba86421e987817f98b63761ba9415c5d42664d51f03"
    )
    assert hashlib.sha256(bundled.labels.astype(np.uint8).tobytes()).hexdigest() == (
        "636a087e604331a0b9dafc94b6e9ade0c9cec72c4400d12473ccdb3e264474c1"
    )
    assert bundled.images.shape == (1000, 3, 32, 32)
    assert bundled.index.tolist() == list(range(1000))
    assert [bundled.classes[label] for label in bundled.labels[:4]] == ["cat", "ship", "ship", "airplane"]


def test_bundled_images_are_the_callers_own() -> None:
    load_data("cifar10-1k").images.fill(0)
    assert load_data("cifar10-1k").content_sha256 == subset.CONTENT_SHA256


@pytest.mark.parametrize("spoil", ["images", "labels", "no images", "a label"])
def test_a_damaged_installation_is_named(spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = subset.path().read_bytes(), subset.path().with_suffix(".json").read_text()
    (tmp_path / "x.webp").write_bytes(images[:1000] if spoil == "images" else images)
    (tmp_path / "x.json").write_text({"labels": "[1, 2", "a label": labels.replace("3", "4", 1)}.get(spoil, labels))
    if spoil == "no images":
        (tmp_path / "x.webp").unlink()
    monkeypatch.setattr(subset, "path", lambda: tmp_path / "x.webp")
    with pytest.raises(DataError, match=r"The cifar10-1k inside this installation is damaged: .* Reinstall"):
        load_data("cifar10-1k", "test")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", sorted(catalogue.DATASETS))
def test_what_was_never_fetched_says_how_to_get_it(name: str) -> None:
    with pytest.raises(DataError, match=f"is not on this machine: .* Run `advss data get {name}[` ]"):
        load_data(name, "train")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar-10", "Did you mean cifar10"), ("CIFAR100", "Choose from cifar10, "), ("", "Choose from cifar10, ")],
)
def test_unknown_names_bring_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        load_data(name, "test")


@pytest.mark.parametrize(("name", "split"), [("cifar10-1k", "train"), ("cifar10", "validation"), ("edm-30k", "test")])
def test_unknown_splits(name: str, split: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} has no '{split}' split. Choose from "):
        load_data(name, split)


@pytest.mark.usefixtures("cache")
def test_a_folder_and_a_limit(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for shade in (10, 200):
            Image.new("RGB", (40, 50), (shade, ord(label[0]), 0)).save(tmp_path / label / f"{shade}-{label}.png")
    whole = load_data(tmp_path, whole=True, image_size=16)
    assert (len(whole), whole.classes, whole.images.shape[1:]) == (4, ("cat", "dog"), (3, 16, 16))
    assert load_data(str(tmp_path), limit=3, whole=True, image_size=16).labels.tolist() == whole.labels[:3].tolist()
    assert len(load_data("cifar10-1k", limit=5)) == 5


def test_names() -> None:
    edm = ["edm-150k", "edm-1m", "edm-30k", "edm-50k"]
    cifar = ["cifar10", "cifar10-15k", "cifar10-1k", "cifar10-5k", "cifar100"]
    assert names() == [*cifar, *edm, "restricted-imagenet"]


def test_loading_needs_no_torch() -> None:
    code = (
        "import sys; from advss_zoo.data import cifar, load, splits; load.load_data('cifar10-1k', 'test'); "
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
