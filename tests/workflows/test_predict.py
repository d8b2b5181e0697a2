"""`advss_zoo.predict`, and `Model.predict`, which is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deploy import onnx_files
from onnx import TensorProto
from PIL import Image
from torch import Tensor, nn

import advss_zoo
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.model import Model


class ByColour(nn.Module):
    """As the ONNX file of the tests."""

    def forward(self, x: Tensor) -> Tensor:
        return 10 * x.mean(dim=(2, 3))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("blue", "red"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (12, 9), name).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def model() -> Model:
    return Model(ByColour(), "colours", classes=onnx_files.CLASSES, image_size=8)


def test_a_model_and_its_onnx_file_say_the_same(photos: Path, model: Model, tmp_path: Path) -> None:
    seen: list[tuple[object, ...]] = []
    found = model.predict(photos)
    assert [(each.path, each.labels[0]) for each in found] == [
        (photos / "blue.png", "blue"),
        (photos / "red.png", "red"),
    ]
    assert advss_zoo.predict(model, str(photos / "*.png"), progress=lambda *each: seen.append(each)) == found
    assert seen[-1] == ("Predicting", "images", 2, 2, "")
    by_onnx = advss_zoo.predict(onnx_files.write(tmp_path / "model.onnx"), [photos / "blue.png", photos])
    assert [each.labels for each in by_onnx] == [each.labels for each in found]
    assert by_onnx[0].probabilities == pytest.approx(found[0].probabilities)


def test_what_cannot_be_read_is_told(photos: Path, model: Model) -> None:
    (photos / "empty.png").touch()
    assert advss_zoo.predict(model, photos).skipped == {photos / "empty.png": "0 bytes"}


def test_images_are_looked_for_before_a_model_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        advss_zoo.predict("p1f4.mini", tmp_path / "nowhere.png")


def test_a_model_that_names_no_classes_is_refused(photos: Path, tmp_path: Path) -> None:
    for model in (Model(ByColour(), "colours"), onnx_files.write(tmp_path / "others.onnx", {})):
        with pytest.raises(AdvssError, match="has no class names"):
            advss_zoo.predict(model, photos)


def test_names_of_classes_can_be_given_to_a_file_of_others(photos: Path, tmp_path: Path) -> None:
    forms: list[dict[str, Any]] = [
        {"ends": {"p": "Softmax"}},
        {"shape": (2, 8, 8, 3), "element": TensorProto.UINT8},
        {"ends": {"label": "ArgMax", "scores": "Identity"}},
    ]
    expected = advss_zoo.predict(onnx_files.write(tmp_path / "ours.onnx"), photos)
    for options in forms:
        model = advss_zoo.load_model(onnx_files.others(tmp_path / "others.onnx", **options))
        model.classes = onnx_files.CLASSES
        found = model.predict(photos)
        assert [each.labels for each in found] == [each.labels for each in expected]
        assert found[0].probabilities == pytest.approx(expected[0].probabilities, rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [lambda z: (z, z.mean()), lambda z: {"logits": z.half()}, lambda z: z.softmax(1)],
    ids=["tuple", "dict", "p"],
)
def test_a_model_of_others_and_its_export_say_what_the_logits_say(
    change: Callable[[Tensor], Any], photos: Path, model: Model, tmp_path: Path
) -> None:
    class Other(ByColour):
        def forward(self, x: Tensor) -> Any:
            return change(super().forward(x))

    other = Model(Other(), "other", "0" * 64, classes=onnx_files.CLASSES, image_size=8)
    expected = [each.probabilities for each in model.predict(photos)]
    assert [each.probabilities for each in other.predict(photos)] == pytest.approx(np.array(expected), rel=1e-2)
    advss_zoo.export(other, tmp_path / "other.onnx")
    exported = advss_zoo.predict(tmp_path / "other.onnx", photos)
    assert [each.probabilities for each in exported] == pytest.approx(np.array(expected), rel=1e-2)


def test_a_model_that_gives_nan_is_refused(photos: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 3), torch.nan)

    model = Model(Broken(), "broken", classes=onnx_files.CLASSES, image_size=8)
    with pytest.raises(AdvssError, match="NaN"):
        model.predict(photos)
