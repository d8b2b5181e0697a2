"""A data set small enough to train on in a test, put where the cache keeps CIFAR-100."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from advss_zoo.data.catalogue import digest
from advss_zoo.training import curves, recipe, trainer

TRAINED = 120  # images left for training once the 5,000 of validation are set aside


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    random = np.random.default_rng(0)
    count = 5_000 + TRAINED
    arrays = {
        "train_images": random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
        "train_labels": (np.arange(count) % 100).astype(np.uint8),
    }
    (folder / "data").mkdir()
    save_file(arrays, folder / "data" / "cifar100.safetensors", {key: digest(value) for key, value in arrays.items()})
    return folder


@pytest.fixture
def cache(small_cache, monkeypatch):
    """That of this test; its runs draw no curves, which takes longer than to train them."""
    monkeypatch.setenv("ADVSS_CACHE", str(small_cache))
    monkeypatch.setattr(curves, "draw", lambda records, path: None)
    return small_cache


RECIPE = """
name: tiny
tag: test
scenario: p1f4
architecture: {depth: 18, width: 2, num_classes: 100}
data: cifar100
objective: {name: classification, label_smoothing: 0.1}
adversary:
  - {name: n-fgsm, until: 0.5, eps_start: 4/255, eps: 8/255}
  - {name: pgd, steps: 2, step_size: 5/255}
epochs: 4
batch_size: 40
schedule: [{peak: 0.1}]
averaging: {decay: 0.9, start: 0.3}
validation: {every: 2, images: 40, attack: {name: pgd, steps: 1}}
deployed: average
precision: fp32
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


PRETRAINING = ["name=tiny-p3", "task=rotation", "scenario=p3", "objective={name: rotation}", "epochs=1"]


@pytest.fixture(scope="session")
def pretrained(small_cache, recipe_file, tmp_path_factory):
    """A finished run of one epoch of rotation, in a folder of runs."""
    out = tmp_path_factory.mktemp("runs") / "tiny-p3.test"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVSS_CACHE", str(small_cache))
        trainer.train(recipe.load(recipe_file, PRETRAINING), out)
    return out
