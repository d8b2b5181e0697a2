"""Temperatures: what they are fitted to, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from advss_zoo.data.imageset import ImageSet
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.prediction import classifier, softmax
from advss_zoo.training import calibration
from advss_zoo.training.assembly import assemble
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.zoo import checkpoint, ensembles
from advss_zoo.zoo.open import open_model

CLASSES = ("ant", "bee", "cow")


def drawn(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(count, 5))
    probabilities = softmax(logits.astype(np.float32), temperature)
    return logits, np.array([random.choice(5, p=row) for row in probabilities])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert calibration.temperature(*drawn(4_000, temperature)) == pytest.approx(temperature, rel=0.08)


@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 30), seed=st.integers(0, 1_000))
def test_no_other_is_less_surprised(count: int, seed: int) -> None:
    logits, labels = drawn(count, 1.5, seed)
    best = calibration.temperature(logits, labels)

    def surprise(t: float) -> float:
        nats = F.cross_entropy(torch.from_numpy(logits) / t, torch.from_numpy(labels), reduction="sum")
        return float(nats) + (np.log(t) / calibration.DEVIATION) ** 2 / 2

    assert all(surprise(best) <= surprise(t) + 1e-5 for t in np.geomspace(1 / 50, 50, 50))


def test_a_few_images_that_are_all_right_prove_little() -> None:
    found = calibration.temperature(np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([0, 1]))
    assert 0.9 < found <= 1


def made(folder: Path, name: str = "own", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    architecture = ResNetV2Architecture(depth=18, width=2, num_classes=3)
    config = checkpoint.Config(
        name=name, tag="test", scenario="p1f4", architecture=architecture, classes=CLASSES, image_size=16
    )
    checkpoint.save(folder, ResNetV2(architecture).state_dict(), config)
    return folder


@pytest.fixture
def images() -> ImageSet:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (70, 3, 16, 16), dtype=np.uint8)
    return ImageSet("noise", "train", pixels, random.integers(0, 3, 70), np.arange(70), CLASSES)


def test_it_is_kept_beside_weights_that_stay_as_they_were(images: ImageSet, tmp_path: Path) -> None:
    folder = made(tmp_path / "own")
    before = checkpoint.read_config(folder)
    weights = (folder / "model.safetensors").read_bytes()
    found = calibration.calibrate(folder, images, "cpu")
    assert checkpoint.read_config(folder) == before.model_copy(update={"temperature": found})
    assert before.temperature == 1 != found
    assert (folder / "model.safetensors").read_bytes() == weights
    loaded = open_model(folder)
    pixels = torch.from_numpy(images.images).float() / 255
    with torch.no_grad():
        expected = loaded(pixels)
    model = classifier(loaded)
    np.testing.assert_array_equal(model.logits(pixels.numpy()), expected.numpy())
    assert found == calibration.temperature(expected.double().numpy(), images.labels)
    assert (loaded.temperature, model.temperature) == (found, found)
    assert calibration.calibrate(folder, images, "cpu") == found, "what was fitted before has no part in it"


def test_an_ensemble_has_one_of_its_own(images: ImageSet, tmp_path: Path) -> None:
    members = [made(tmp_path / name, name, seed) for seed, name in enumerate(("one", "two"))]
    recipe = EnsembleRecipe(name="both", tag="test", scenario="p1f4", members=[str(member) for member in members])
    folder = assemble(recipe, tmp_path / "both")
    found = calibration.calibrate(folder, images, "cpu")
    assert (ensembles.read(folder).temperature, open_model(folder).temperature) == (found, found)
    assert found != 1
    assert {open_model(member).temperature for member in members} == {1.0}


@pytest.mark.parametrize("temperature", [0, -1, 1e7, float("nan"), "warm"])
def test_what_is_no_temperature_is_refused(temperature: Any) -> None:
    with pytest.raises(ValueError, match="temperature"):
        checkpoint.Config(
            name="own", tag="test", scenario="p1f4", architecture=ResNetV2Architecture(), classes=tuple("abcdefghij"),
            temperature=temperature,
        )  # fmt: skip
