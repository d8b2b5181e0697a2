"""`advss predict`: which argument is the model, what is printed, and what becomes of files that are no images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy import onnx_files
from deploy.no_torch import without_torch
from onnx import helper
from PIL import Image

from advss_zoo.cli.predict import divided
from advss_zoo.errors import UsageError

Advss = Callable[..., Any]


@pytest.fixture
def colours(tmp_path: Path) -> None:
    """In the working folder: model.onnx, and a folder of three images and two files that are none."""
    onnx_files.write(tmp_path / "model.onnx")
    folder = tmp_path / "images"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGBA" if number else "L", (9, 20), colour if number else 255).save(folder / f"{colour}.png")
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("I am no picture")


@pytest.mark.usefixtures("colours")
def test_labels_and_probabilities_without_torch() -> None:
    done = without_torch("predict", "model.onnx", "images")
    assert done.returncode == 0
    heading, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert heading == ["image", "label", "%", "next"]
    assert [row[0] for row in rows] == ["images/blue.png", "images/green.png", "images/red.png"]
    assert [row[1] for row in rows] == ["blue", "green", "red"]
    assert rows[0][2] == "100.00" or float(rows[0][2]) > 99
    assert rows[2][3].startswith("green 33.33")
    assert "Skipped images/empty.png: 0 bytes\n" in done.stderr
    assert "Skipped images/text.jpg: not a readable image" in done.stderr
    assert "Model: colours.tiny, on the CPU." in done.stderr


@pytest.mark.usefixtures("colours")
def test_as_json(advss: Advss) -> None:
    outcome = advss("predict", "model.onnx", "images/*.png", "--top", "2", "--json")
    assert outcome.status == 0
    document = outcome.json
    assert document["model"] == {"name": "colours.tiny", "sha256": "0" * 64, "device": "cpu", "temperature": 1.0}
    assert document["skipped"] == [{"path": "images/empty.png", "reason": "0 bytes"}]
    blue = document["images"][0]
    assert (blue["path"], [each["label"] for each in blue["predictions"]]) == ("images/blue.png", ["blue", "red"])
    assert blue["predictions"][0]["probability"] == pytest.approx(math.exp(10) / (math.exp(10) + 2))


@pytest.mark.usefixtures("colours")
def test_classes_of_any_script_are_whole_for_programs_and_harmless_for_people(tmp_path: Path, advss: Advss) -> None:
    classes = ["chat\u00a0noir", "三毛\u3000猫", "\N{WOMAN}\u200d\N{ROCKET}"]
    props = onnx_files.PROPS | {"classes": json.dumps(classes, ensure_ascii=False)}
    onnx_files.write(tmp_path / "model.onnx", props)
    outcome = advss("predict", "model.onnx", "images/red.png", "images/green.png", "images/blue.png", "--json")
    assert [each["label"] for each in outcome.json["images"][0]["predictions"]] == classes
    shown = advss("predict", "model.onnx", "images/blue.png", "--top", "1").stdout.splitlines()[1]
    assert shown.split("\t")[1] == "\N{WOMAN}\N{REPLACEMENT CHARACTER}\N{ROCKET}"


@pytest.mark.usefixtures("colours")
def test_one_class_is_no_list(advss: Advss) -> None:
    _, stdout, _ = advss("predict", "model.onnx", "images", "--top", "1")
    assert stdout.splitlines()[0] == "image\tlabel\t%"


@pytest.mark.usefixtures("colours")
def test_nothing_that_can_be_read_is_a_failure(advss: Advss) -> None:
    status, stdout, stderr = advss("predict", "model.onnx", "images/empty.png", "images/text.jpg")
    assert (status, stdout) == (1, "")
    assert "Skipped images/empty.png" in stderr
    assert "All of these files are unreadable." in stderr
    assert advss("predict", "model.onnx", "images/empty.png", "--json").json["images"] == []


@pytest.mark.usefixtures("colours")
def test_classes_that_nobody_knows_are_not_made_up(tmp_path: Path, advss: Advss) -> None:
    onnx_files.write(tmp_path / "others.onnx", {})
    status, stdout, stderr = advss("predict", "others.onnx", "images")
    assert (status, stdout) == (1, "")
    assert "others.onnx has no class names." in stderr


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize("weight", [float("nan"), float("-inf")])
@pytest.mark.parametrize("more", [(), ("--json",), ("--top", "1")])
def test_an_output_that_is_not_finite_is_refused(
    weight: float, more: tuple[str, ...], tmp_path: Path, advss: Advss
) -> None:
    model = onnx_files.graph()
    model.graph.initializer[0].raw_data = np.float32(weight).tobytes()
    helper.set_model_props(model, onnx_files.PROPS)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    status, stdout, stderr = advss("predict", "model.onnx", "images/red.png", *more)
    assert (status, stdout) == (1, "")
    assert "The model's output is NaN or infinite." in stderr
    assert "Unexpected" not in stderr


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["model.onnx"], "images are missing"),
        (["p1f4"], "images are missing"),
        (["model.onnx", "nowhere.png"], "nowhere.png"),
        (["model.onnx", "nowhere/*.png"], "nowhere/*.png"),
        (["model.onnx", "images", "--top", "0"], "--top"),
        (["model.onnx", "images", "--device", "cuda"], "cannot use a GPU"),
        (["selfie-p3f5", "images"], "selfie-p3f5"),
        ([], "IMAGE"),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], says: str, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advss_zoo.deploy.onnx_model._has_driver", lambda: False)
    status, stdout, stderr = advss("predict", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (["p1f4", "a.png"], "p1f4"),
        (["p1f4.mini+p1f3", "a.png"], "p1f4.mini+p1f3"),
        (["hf://ORG/NAME@v1", "a.png"], "hf://ORG/NAME@v1"),
        (["Model.ONNX", "a.png"], "Model.ONNX"),
        (["checkpoint", "a.png"], "checkpoint"),
        (["checkpoint/model.safetensors", "a.png"], "checkpoint/model.safetensors"),
        (["a.png"], None),
        (["a.png", "p1f4"], None),
        (["images"], None),
        (["./p1f4"], None),
        (["*.png"], None),
        (["gone.png"], None),
        (["unknown-name", "a.png"], "unknown-name"),
    ],
)
def test_the_first_argument_is_the_model_if_it_can_be_one(
    arguments: list[str], model: str | None, tmp_path: Path
) -> None:
    for name in ("images", "checkpoint", "p1f4"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint/config.json").write_text("{}")
    (tmp_path / "checkpoint/model.safetensors").touch()
    (tmp_path / "a.png").touch()
    found, images = divided(arguments)
    assert images == (arguments[1:] if model else arguments)
    assert found == model


def test_a_model_needs_images() -> None:
    with pytest.raises(UsageError, match="advss predict p1f4 IMAGE"):
        divided(["p1f4"])
