"""Which images are meant, and what is made of them."""

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
from advss_zoo.deploy.predict import Classifier, find, predict, softmax
from advss_zoo.errors import UsageError

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


def names(arguments: list[str]) -> list[str]:
    return [str(path) for path in find(arguments).files]


def test_files_folders_and_patterns(here: Path) -> None:
    for path in ("b.png", "photos/2.jpg", "photos/sub/1.PNG", "photos/.hidden/3.png", "photos/.4.png", "[1].png"):
        draw(path)
    Path("photos/notes.txt").write_text("no image")
    assert names(["photos"]) == ["photos/2.jpg", "photos/sub/1.PNG"]
    assert names(["photos/", "b.png"]) == ["photos/2.jpg", "photos/sub/1.PNG", "b.png"]
    assert names(["photos/**/*.PNG"]) == ["photos/sub/1.PNG"]
    assert names(["phot*"]) == ["photos/2.jpg", "photos/sub/1.PNG"]
    assert names(["[1].png"]) == ["[1].png"], "a name comes before a pattern"
    assert names(["photos/notes.txt"]) == ["photos/notes.txt"], "what is named is looked at, whatever it is"


def test_what_is_meant_twice_is_looked_at_once(here: Path) -> None:
    for path in ("p/2.png", "p/sub/1.png", "p/sub/deep/3.png"):
        draw(path)
    files = ["p/2.png", "p/sub/1.png", "p/sub/deep/3.png"]
    assert names(["p/**"]) == names(["p", "p/*.png", "./p/sub/"]) == files
    assert names(["p/sub/deep/3.png", "p"]) == [files[2], *files[:2]], "where it was named first"


def test_links_are_followed_and_lead_nowhere_twice(here: Path) -> None:
    draw("other/1.png")
    Path("photos").mkdir()
    Path("photos/link").symlink_to(here / "other")
    Path("photos/round").symlink_to(here / "photos")
    Path("photos/gone.png").symlink_to(here / "nowhere.png")
    found = find(["photos"]).files
    assert sorted(map(str, found)) == ["photos/gone.png", "photos/link/1.png"]


@pytest.mark.parametrize("argument", ["nowhere", "nowhere.png", "*.png", "", "a\0b", "empty", "notes"])
def test_nothing_to_look_at_is_a_sentence(argument: str, here: Path) -> None:
    Path("empty").mkdir()
    Path("notes").mkdir()
    Path("notes/readme.txt").write_text("no image")
    with pytest.raises(UsageError):
        find([argument])


def test_a_folder_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    Path("locked").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    assert find(["locked"]).broken == {Path("locked"): "Permission denied"}


def test_probabilities_are_those_of_the_colours(here: Path) -> None:
    files = [draw(f"{colour}.png", colour, size=(11, 30)) for colour in COLOURS]
    (batch,) = predict(classifier(here), files, {}, top=10)
    likely = np.exp(10) / (np.exp(10) + 2)
    for number, prediction in enumerate(batch):
        assert prediction.path == files[number]
        assert prediction.classes == [number, *(other for other in range(3) if other != number)]
        assert prediction.probabilities[0] == pytest.approx(likely, rel=1e-5)
        assert sum(prediction.probabilities) == pytest.approx(1)


def test_of_a_thousand_classes_those_that_are_named_are_kept(here: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(5, 1_000)).astype(np.float32)
    rows[4] = 0  # all the same: the first come first
    model = Classifier("many", "", tuple(map(str, range(1_000))), 8, "cpu", lambda images: rows)
    (batch,) = predict(model, [draw(f"{number}.png") for number in range(5)], {}, top=3)
    expected = softmax(rows)
    for row, prediction in zip(expected, batch, strict=True):
        assert prediction.probabilities == sorted(row, reverse=True)[:3] == row[prediction.classes].tolist()
    assert batch[4].classes == [0, 1, 2]


def test_images_are_decoded_side_by_side_and_stay_in_order(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, read = threading.Barrier(2, timeout=10), decoding.read

    def wait(path: Path, side: int) -> Any:
        together.wait()  # nobody else comes: BrokenBarrierError
        return read(path, side)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(decoding, "read", wait)
    files = [draw(f"{number}.png") for number in range(4)]
    files[1].write_text("no image")
    broken: dict[Path, str] = {}
    (batch,) = predict(classifier(here), files, broken, top=1)
    assert [each.path for each in batch] == [files[0], *files[2:]]
    assert list(broken) == [files[1]]


def test_images_of_any_mode_and_broken_ones_between_them(here: Path) -> None:
    kinds = {"L": "png", "1": "png", "LA": "png", "RGBA": "png", "P": "gif", "CMYK": "jpg", "I;16": "png"}
    files = [draw(f"{mode.replace(';', '')}.{kind}", size=(20, 9), mode=mode) for mode, kind in kinds.items()]
    Path("zero.png").touch()
    Path("text.jpg").write_text("I am a picture")
    Path("cut.png").write_bytes(files[0].read_bytes()[:50])
    bad = [Path("zero.png"), Path("text.jpg"), Path("cut.png"), Path("gone.png")]
    broken: dict[Path, str] = {}
    found = [each.path for batch in predict(classifier(here), [*bad, *files], broken, 1) for each in batch]
    assert found == files
    assert list(broken) == bad
    assert broken[Path("zero.png")] == "0 bytes"


def test_batches_are_of_a_size_and_may_be_all_broken(here: Path) -> None:
    sizes = []

    def logits(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return images.mean(axis=(2, 3))

    good = draw("good.png")
    model = Classifier("counting", "", onnx_files.CLASSES, 8, "cpu", logits)
    files = [good] * 130 + [here] * 64
    batches = list(predict(model, files, {}, 1))
    assert sizes == [64, 64, 2]
    assert [len(batch) for batch in batches] == [64, 64, 2]


@pytest.mark.parametrize(("side", "batch"), [(32, 64), (224, 39), (4096, 1)])
def test_large_images_come_in_smaller_batches(side: int, batch: int) -> None:
    model = Classifier("", "", (), side, "cpu", lambda images: images)
    assert model.batch == batch


@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_probabilities_are_probabilities_however_large_the_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found.max(axis=1), found[np.arange(3), logits.argmax(axis=1)])
