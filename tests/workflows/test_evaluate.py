"""`advss_zoo.evaluate`: what it takes, and that the command line measures the same."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import advss_zoo as az
from advss_zoo.cli import execute
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.protocols.corruptions import mean_corruption_error

N = 12
PIXELS, LABELS = torch.full((2, 3, 8, 8), 0.5), torch.tensor([0, 1])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))


class Small(nn.Sequential):
    """Ten classes, the same every time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(3, 10, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_the_command_line_writes_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = az.evaluate(az.load_model("p1f4"), "cifar10-1k", "pgd2", limit=N, out="mine")
    command = ["advss", "eval", "p1f4", "--attack", "pgd2", "--limit", str(N), "--out", "theirs", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    assert execute() == 0
    mine, theirs = (json.loads(Path(name, "pgd2", "result.json").read_text()) for name in ("mine", "theirs"))
    for document in (mine, theirs):
        for varies in ("seconds", "images_per_second", "command", "date"):
            assert document.pop(varies)
    assert mine == theirs
    assert mine["model"]["name"] == "p1f4.mini"
    assert result.folder == Path("mine/pgd2")


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    result = az.evaluate(Small(), "cifar10-1k", "pgd1", limit=N)
    assert (result.n, result.model.name, result.folder) == (N, "Small", None)
    assert list(tmp_path.iterdir()) == []


def test_a_look_is_noted_where_results_are_kept() -> None:
    for _ in range(2):
        az.evaluate(Small(), "cifar10-1k", ["clean", "pgd1"], limit=N, out="kept")
    looks = [json.loads(line) for line in Path("runs/test-evaluations.jsonl").read_text().splitlines()]
    assert [look["protocol"] for look in looks] == ["clean", "pgd1"]


def test_every_kind_of_data_gives_the_same_accuracies() -> None:
    images = az.load_data("cifar10-1k", limit=N)
    x, y = images
    kinds: list[Any] = ["cifar10-1k", images, (x, y), (images.images, images.labels), images.loader(5)]
    found = [az.evaluate(Small(), kind, "pgd1", limit=N) for kind in kinds]
    assert {(result.n, result.ta, result.ra) for result in found} == {(N, found[0].ta, found[0].ra)}
    assert {result.data.content_sha256 for result in found[:2]} == {images.content_sha256}


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_of_images(whole: bool) -> None:
    images = az.load_data("cifar10-1k", limit=60)
    for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = Path("photos", images.classes[label], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    said: list[str] = []
    result = az.evaluate("p1f4", Path("photos"), "clean", whole=whole, say=said.append)
    assert (result.n == 60) == whole
    assert any("test images of photos" in line for line in said) != whole
    if whole:
        assert result.ta == az.evaluate("p1f4", images, "clean").ta, "classes are matched by name"
    with pytest.raises(UsageError, match="image size of Small is unknown"):
        az.evaluate(Small(), "photos", "clean")


class Brightness(nn.Module):
    """Output k is for images whose brightness is about 20 k: never wrong on `shades`, and without class names."""

    def __init__(self, outputs: int = 12) -> None:
        super().__init__()
        self.register_buffer("levels", torch.arange(outputs) * 20.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -((x.mean((1, 2, 3))[:, None] * 255 - self.get_buffer("levels")) ** 2) / 20


class Rolled(Brightness):
    """Always wrong: what is of class k is taken for k + 6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).roll(6, 1)


def shades(names: list[str]) -> None:
    """Five images of each class, the brightness of class k being about 20 k."""
    for level, name in enumerate(names):
        Path("shades", name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (20 * level + number,) * 3).save(Path("shades", name, f"{number}.png"))


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]


class TestOrderOfClasses:
    SETTINGS: ClassVar[dict[str, Any]] = {"whole": True, "image_size": 8}

    @pytest.mark.parametrize("name", ["{}", "class {}", "{}. kind"])
    def test_is_that_of_numbers(self, name: str) -> None:
        shades([name.format(number) for number in range(12)])
        said: list[str] = []
        assert az.evaluate(Brightness(), "shades", "clean", say=said.append, **self.SETTINGS).ta == 1
        stated = [line for line in said if line.startswith("Assuming that the model's outputs are, in this order:")]
        assert len(stated) == 1
        assert name.format(9) + ", " + name.format(10) in stated[0]

    @pytest.mark.parametrize("names", [WORDS, [chr(ord("l") - number) for number in range(12)]])
    def test_another_one_is_noticed_and_can_be_said(self, names: list[str], tmp_path: Path) -> None:
        shades(names)
        result = az.evaluate(Brightness(), "shades", "clean", **self.SETTINGS)
        assert result.ta < 0.5
        assert result.warnings == [
            "Accuracy would be 100% if the model's outputs stood for the classes in another order: name the classes in "
            "the order of its outputs (--classes FILE)."
        ]
        Path("names.txt").write_text("\ufeff" + "\n".join(names) + "\n\n")
        for classes in (names, "names.txt", Path("names.txt"), ",".join(names)):
            found = az.evaluate(Brightness(), "shades", "clean", classes=classes, **self.SETTINGS)
            assert (found.ta, found.warnings) == (1, [])

    def test_a_model_that_names_its_classes_is_matched_by_name(self) -> None:
        shades(WORDS)
        known = az.Model(Brightness(), "known", classes=tuple(WORDS), image_size=8)
        result = az.evaluate(known, "shades", "clean", whole=True)
        assert (result.ta, result.data.classes) == (1, None)
        more = az.Model(Brightness(20), "more", classes=(*WORDS, *"abcdefgh"), image_size=8)
        assert az.evaluate(more, "shades", "clean", whole=True).ta == 1, "the folder may lack some"

    def test_of_a_part_of_the_classes_all_outputs_count_and_the_result_says_so(self) -> None:
        shades(WORDS[:3])
        known = az.Model(Brightness(), "known", classes=tuple(WORDS), image_size=8)
        right = az.evaluate(known, "shades", "clean", whole=True)
        assert (right.ta, right.data.classes, right.data.outputs) == (1, 3, 12)
        other = az.Model(Rolled(), "other", classes=tuple(WORDS), image_size=8)
        assert az.evaluate(other, "shades", "clean", whole=True).ta == 0, "a class without images is never right"

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({}, "The model has 12 classes, but shades-.* has 3. Give images of its classes, or .*--classes FILE"),
            ({"classes": "a,b"}, "The model has no classes zero, which are in shades"),
            ({"classes": ["zero", "one", "two", "one"]}, "The classes name 'one' twice"),
            ({"classes": []}, "The classes contain no names"),
            ({"classes": "nowhere.txt"}, "Cannot read nowhere.txt"),
            ({"classes": "zero,one,two"}, "The model has 12 classes, but shades-.* has 3"),
        ],
    )
    def test_a_mismatch_is_a_sentence(self, settings: dict[str, Any], says: str) -> None:
        shades(WORDS[:3] if "a,b" not in settings.values() else ["a", "b", "zero"])
        with pytest.raises(AdvssError) as caught:
            az.evaluate(Brightness(), "shades", "clean", **settings, **self.SETTINGS)
        assert re.search(says, " ".join(filter(None, (caught.value.message, caught.value.hint))))

    def test_arrays_have_no_names(self) -> None:
        with pytest.raises(UsageError, match="--classes needs images whose classes have names"):
            az.evaluate(Small(), (torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)), "clean", classes="a,b")


def test_one_protocol_is_a_result_and_a_list_is_a_list() -> None:
    images = az.load_data("cifar10-1k", limit=N)
    assert az.evaluate(Small(), images, "clean").protocol.label == "clean"
    assert az.evaluate(Small(), images, parse("pgd1")).protocol.label == "pgd1"
    assert az.evaluate(Small(), images, []) == []
    several = az.evaluate(Small(), images, ["clean", parse("pgd1", seed=3), "pgd2"], eps="4/255")
    assert {result.protocol.label for result in several} == {"clean", "pgd1", "pgd2 (linf, eps 4/255)"}
    with pytest.raises(UsageError, match="unforeseen-fog is a suite of several protocols"):
        az.evaluate(Small(), images, "unforeseen-fog")


def test_progress_and_a_module_that_stays_as_it_was() -> None:
    model, calls = Small().train(), []
    az.evaluate(model, "cifar10-1k", "pgd1", limit=N, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("pgd1", "images", N, N, "")
    assert model.training


def test_saved_images_are_evaluated_on_another_model() -> None:
    made = az.evaluate("p1f4", "cifar10-1k", "pgd2", limit=N, save_adversarial=True, out="made")
    file = Path("made/pgd2/adversarial.safetensors")
    again = az.evaluate("p1f4", "cifar10-1k", limit=N, adversarial=file)
    assert again.ra == made.ra
    assert again.protocol.label == "saved pgd2 on p1f4.mini"
    assert len(az.evaluate("p1f4", "cifar10-1k", ["clean"], limit=N, adversarial=file)) == 2


def test_a_baseline_is_what_corruption_errors_are_relative_to() -> None:
    az.evaluate(Small(), "cifar10-1k", "corruptions", limit=4, out="baseline")
    result = az.evaluate(Small(), "cifar10-1k", "corruptions", limit=4, baseline="baseline")
    assert result.baseline is not None
    assert mean_corruption_error(result, result.baseline) == 1
    assert az.evaluate(Small(), "cifar10-1k", "corruptions", limit=4).baseline is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"protocols": "pdg20"}, "pdg20"),
        ({"protocols": "clean", "quantize": True}, "needs adversarial images, which clean does not make"),
        (
            {"protocols": ["clean"], "save_adversarial": True, "out": "x"},
            "needs adversarial images, which clean does not make",
        ),
        ({"save_adversarial": True}, "adversarial images needs a folder"),
        ({"baseline": "x"}, "--baseline needs the protocol corruptions"),
        ({"whole": True}, "--whole needs a folder of images"),
        ({"image_size": 32}, "--image-size needs a folder of images"),
        ({"parts": {"a": "train"}}, "--parts needs a folder of images"),
        ({"parts": {"a": "trian"}}, "parts has 'trian', expected train, val or test"),
        ({"group_by": "patient"}, "--group-by needs a folder of images"),
        ({"limit": 1_001}, "has 1,000 test images"),
        ({"limit": -1, "data": (PIXELS, LABELS)}, "limit must be an integer of at least 1, got -1"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"limit": "4"}, "limit must be an integer of at least 1, got '4'"),
        ({"data": "cifar11"}, "cifar11"),
        ({"eps": "much"}, "'much' is not a positive size"),
        ({"norm": "l0"}, "l0"),
        ({"protocols": "transfer"}, "transfer needs an ensemble of at least two models"),
    ],
)
def test_what_does_not_fit_is_a_sentence(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        az.evaluate(Small(), **settings)
    assert says in str(refused.value)
    assert not Path("runs").exists()


@pytest.mark.parametrize("model", [None, Small, lambda x: x.flatten(1)])
def test_what_is_not_a_model_is_a_sentence(model: Any, tmp_path: Path) -> None:
    says = f"model must be a torch module or the name of a model, got {type(model).__name__}"
    with pytest.raises(UsageError, match=says):
        az.evaluate(model, limit=4)
    with pytest.raises(UsageError, match=says):
        az.claim(model, 0.5, limit=4)


@pytest.mark.parametrize("bare", [True, False])
def test_without_names_of_classes_nothing_is_exported_or_predicted(bare: bool, tmp_path: Path) -> None:
    model: Any = Small() if bare else az.Model(Small(), "mine")
    for use in (lambda: az.export(model, tmp_path / "a.onnx"), lambda: az.predict(model, Image.new("RGB", (8, 8)))):
        with pytest.raises(AdvssError, match=r"advss_zoo.Model\(module, NAME, classes=..., image_size=N\)"):
            use()


@pytest.mark.parametrize(
    "data",
    [
        *(None, 3, {"images": PIXELS}, (PIXELS,), (PIXELS, LABELS, LABELS)),
        TensorDataset(PIXELS, LABELS),
        DataLoader(TensorDataset(PIXELS)),
    ],
)
def test_what_is_not_data_is_a_sentence(data: Any) -> None:
    with pytest.raises(DataError, match=r"images.* and labels|\(images, labels\)"):
        az.evaluate(Small(), data)


def test_images_of_a_class_that_the_model_does_not_know() -> None:
    images = az.load_data("cifar10-1k", limit=N)
    renamed = type(images)("mine", "test", images.images, images.labels, np.arange(N), tuple("abcdefghij"))
    with pytest.raises(UsageError, match="The model has no classes"):
        az.evaluate("p1f4", renamed, "clean")
