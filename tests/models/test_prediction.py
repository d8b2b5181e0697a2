"""What is made of images."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy import onnx_files
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from advss_zoo.data.folder import decoding
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.prediction import Classifier, Sources, find, predict, softmax

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(path: str, colour: str = "red", size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).convert(mode).save(path)
    return Path(path)


def classifier(folder: Path) -> Classifier:
    model = OnnxModel.read(onnx_files.write(folder / "model.onnx"))
    return Classifier("colours", model.sha256, onnx_files.CLASSES, 8, "cpu", model.logits)


def test_probabilities_are_those_of_the_colours(here: Path) -> None:
    files = [draw(f"{colour}.png", colour, size=(11, 30)) for colour in COLOURS]
    batch = predict(classifier(here), find(files), top=10)
    likely = np.exp(10) / (np.exp(10) + 2)
    for number, prediction in enumerate(batch):
        assert prediction.path == files[number]
        others = [label for label in onnx_files.CLASSES if label != onnx_files.CLASSES[number]]
        assert prediction.labels == (onnx_files.CLASSES[number], *others)
        assert prediction.probabilities[0] == pytest.approx(likely, rel=1e-5)
        assert sum(prediction.probabilities) == pytest.approx(1)


def test_of_a_thousand_classes_those_that_are_named_are_kept(here: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(5, 1_000)).astype(np.float32)
    rows[4] = 0  # all the same: the first come first
    model = Classifier("many", "", tuple(map(str, range(1_000))), 8, "cpu", lambda images: rows)
    found = predict(model, find([draw(f"{number}.png") for number in range(5)]), top=3)
    for row, prediction in zip(softmax(rows), found, strict=True):
        assert list(prediction.probabilities) == sorted(row, reverse=True)[:3]
        assert [row[int(label)] for label in prediction.labels] == list(prediction.probabilities)
    assert found[4].labels == ("0", "1", "2")


def test_images_are_decoded_side_by_side_and_stay_in_order(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, read = threading.Barrier(2, timeout=10), decoding.read

    def wait(path: Path, side: int) -> Any:
        together.wait()  # nobody else comes: BrokenBarrierError
        return read(path, side)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(decoding, "read", wait)
    files = [draw(f"{number}.png") for number in range(4)]
    files[1].write_text("no image")
    found = predict(classifier(here), find(files), top=1)
    assert [each.path for each in found] == [files[0], *files[2:]]
    assert list(found.skipped) == [files[1]]


def test_images_of_any_mode_and_broken_ones_between_them(here: Path) -> None:
    kinds = {"L": "png", "1": "png", "LA": "png", "RGBA": "png", "P": "gif", "CMYK": "jpg", "I;16": "png"}
    files = [draw(f"{mode.replace(';', '')}.{kind}", size=(20, 9), mode=mode) for mode, kind in kinds.items()]
    Path("zero.png").touch()
    Path("text.jpg").write_text("I am a picture")
    Path("cut.png").write_bytes(files[0].read_bytes()[:50])
    Path("gone.png").symlink_to("nowhere.png")
    bad = [Path("zero.png"), Path("text.jpg"), Path("cut.png"), Path("gone.png")]
    found = predict(classifier(here), find([*bad, *files]), top=1)
    assert [each.path for each in found] == files
    assert list(found.skipped) == bad
    assert found.skipped[Path("zero.png")] == "0 bytes"


def test_batches_are_of_a_size_and_may_be_all_broken(here: Path) -> None:
    sizes = []

    def logits(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return images.mean(axis=(2, 3))

    done: list[tuple[int, int]] = []
    model = Classifier("counting", "", onnx_files.CLASSES, 8, "cpu", logits)
    images: list[Path | Image.Image] = [draw("good.png")] * 130 + [here] * 64
    found = predict(model, Sources(images, {}, {}), progress=lambda *each: done.append(each))
    assert sizes == [64, 64, 2]
    assert len(found) == 130
    assert list(found.skipped) == [here]
    assert done[0] == (0, 194)


@pytest.mark.parametrize(("side", "batch"), [(32, 64), (224, 39), (4096, 1)])
def test_large_images_come_in_smaller_batches(side: int, batch: int) -> None:
    model = Classifier("", "", (), side, "cpu", lambda images: images)
    assert model.batch == batch


def test_an_open_image_is_what_its_file_is(here: Path) -> None:
    path = draw("red.png", size=(11, 30))
    by_file, by_image, again = predict(classifier(here), find([path, Image.open(path), Image.open(path)]))
    assert (by_file.path, by_image.path) == (path, None)
    assert by_file.probabilities == by_image.probabilities == again.probabilities


@pytest.mark.parametrize("output", [np.full((1, 3), np.nan), np.full((1, 3), np.inf), np.zeros((1, 4)), np.zeros(3)])
def test_an_output_that_means_nothing_is_refused(output: np.ndarray, here: Path) -> None:
    model = Classifier("broken", "", onnx_files.CLASSES, 8, "cpu", lambda images: output)
    with pytest.raises(AdvssError, match="The model"):
        predict(model, find(draw("red.png")))


def test_no_classes_to_name_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="top must be at least 1, got 0"):
        predict(classifier(here), find(draw("red.png")), top=0)


@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_probabilities_are_probabilities_however_large_the_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found.max(axis=1), found[np.arange(3), logits.argmax(axis=1)])
