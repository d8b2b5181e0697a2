"""`advss import`: the folder on stdout, what became of every tensor on stderr, and one sentence for what is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.training import parents, recipe
from advss_zoo.zoo import checkpoint

Advss = Callable[..., Any]


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(ResNetV2(ResNetV2Architecture(depth=18, width=2, num_classes=3)).state_dict())


@pytest.fixture
def file(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": weights}, tmp_path / "My best (1).pt")
    return tmp_path / "My best (1).pt"


def test_a_classifier(file: Path, advss: Advss) -> None:
    status, stdout, stderr = advss("import", str(file))
    assert (status, stdout) == (0, "imported/my-best-1\n")
    assert stderr.splitlines() == [
        "Found: classifier, ResNet-18v2 of width 2.",
        "122 tensors copied, none dropped.",
        "Ignored, not weights: epoch.",
        "The file has no normalisation constants; these are used: mean 0.485 0.456 0.406, std 0.229 0.224 0.225.",
        "Classes are set to 0 to 2 (3); --classes changes them.",
        "Evaluate it: advss eval imported/my-best-1",
    ]
    assert checkpoint.load(Path("imported/my-best-1"))[1].full_name == "my-best-1.imported"


def test_the_average_of_weights_and_what_is_missing_are_said(weights: dict[str, Tensor], advss: Advss) -> None:
    counted = {name: tensor for name, tensor in weights.items() if "num_batches_tracked" not in name}
    average = {name: tensor + 0.5 for name, tensor in counted.items()}
    torch.save({"model": counted, "model_ema": average, "epoch": 3}, "mine.pt")
    status, _, stderr = advss("import", "mine.pt")
    assert status == 0
    assert "The average of the weights (EMA) in the file is imported.\n20 counters of batch norm" in stderr
    assert "Ignored, not weights: epoch." in stderr
    network, _ = checkpoint.load(Path("imported/mine"))
    key = "trunk.conv1.weight"
    torch.testing.assert_close(network.state_dict()[key], weights[key] + 0.5)


def test_the_next_command_works(advss: Advss) -> None:
    torch.save(ResNetV2(ResNetV2Architecture(depth=18, width=2)).state_dict(), "mine.pt")
    *_, hint = advss("import", "mine.pt").stderr.splitlines()
    _, _, command = hint.partition(": advss ")
    status, _, stderr = advss(*command.split(), "--attack", "clean", "--limit", "2")
    assert status == 0, stderr


def test_a_trunk(weights: dict[str, Tensor], tmp_path: Path, advss: Advss) -> None:
    trunk = {f"module.1.{name.removeprefix('trunk.')}": weights[name] for name in weights if name.startswith("trunk.")}
    constants = {"module.0.mean": torch.full((3,), 0.5), "module.0.std": torch.full((3,), 0.25)}
    pooling = {"row_embeddings": torch.ones(4, 8), "column_embeddings": torch.ones(4, 8), "u0": torch.ones(1, 1, 8)}
    torch.save({"P_state": constants | trunk, "selfie_state": pooling}, tmp_path / "selfie.pth.tar")
    status, stdout, stderr = advss("import", "selfie.pth.tar", "--out", "some where", "--name", "s-p3.r18")
    assert (status, stdout) == (0, "some where\n")
    assert stderr.splitlines() == [
        "Found: selfie pretraining, ResNet-18v2 of width 2.",
        "90 trunk tensors copied, 3 dropped (head of the pretext task: selfie_state 3).",
        "Fine-tune it: advss train RECIPE 'parent=some where' 'architecture.mean=[0.5,0.5,0.5]'"
        " 'architecture.std=[0.25,0.25,0.25]' architecture.depth=18 architecture.width=2",
    ]
    assert checkpoint.read_config(Path("some where")).full_name == "s-p3.r18"


@pytest.mark.parametrize(
    "changes",
    [{"shortcut_bn": False, "stem_bn": False}, {"stem": "imagenet", "shortcut_bn": False}, {"mean": (0.5, 0.4, 0.3)}],
)
def test_the_trunk_fits_the_recipe_that_is_advised(changes: dict[str, Any], advss: Advss) -> None:
    architecture = ResNetV2Architecture(depth=18, width=2, **changes)
    network = ResNetV2(architecture)
    constants = {"0.mean": torch.tensor(architecture.mean), "0.std": torch.tensor(architecture.std)}
    trunk = {f"1.{name}": tensor for name, tensor in network.trunk.state_dict().items()}
    torch.save(constants | trunk, "trunk.pt")
    *_, hint = advss("import", "trunk.pt").stderr.splitlines()
    _, _, command = hint.partition("advss train RECIPE ")
    parent, *overrides = shlex.split(command)
    made = recipe.load("selfie-p3f4.r50", overrides)
    inherited = parents.inherit_trunk(made.objective.build(made.architecture), Path(parent.removeprefix("parent=")))
    assert inherited.tensors == len(trunk)


def test_json(file: Path, advss: Advss) -> None:
    outcome = advss("import", str(file), "--json", "--out", "there")
    assert outcome.status == 0
    assert {key: outcome.json[key] for key in ("path", "name", "layout", "copied", "dropped", "ignored")} == {
        "path": "there",
        "name": "my-best-1.imported",
        "layout": "classifier",
        "copied": 122,
        "dropped": {},
        "ignored": ["epoch"],
    }


def test_classes_out_of_a_file(file: Path, advss: Advss) -> None:
    Path("classes.txt").write_text("great white shark\nemu\n\nfox\n")
    assert advss("import", str(file), "--classes", "classes.txt").status == 0
    assert checkpoint.read_config(Path("imported/my-best-1")).classes == ("great white shark", "emu", "fox")


def test_a_name_that_leaves_nothing_to_call_it(file: Path, advss: Advss) -> None:
    file.rename("___.pt")
    assert advss("import", "___.pt").stdout == "imported/model\n"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--classes", "cat,dog"], 2, "--classes names 2 classes, but the network in the file has 3."),
        (["--classes", "nothing.txt"], 1, "Cannot read nothing.txt: No such file or directory."),
        (["--name", "My Best"], 2, "'My Best' is not a checkpoint name."),
        (["--out", "taken"], 2, "taken already holds a checkpoint."),
        (["--out", "a-file/below"], 1, "Cannot write a-file/below/model.safetensors: Not a directory."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], status: int, says: str, file: Path, advss: Advss
) -> None:
    Path("taken").mkdir()
    Path("taken/config.json").write_text("{}")
    Path("a-file").write_text("")
    outcome = advss("import", str(file), *arguments)
    assert (outcome.status, outcome.stdout) == (status, "")
    assert outcome.stderr.splitlines()[0] == f"Error: {says}"
    assert not Path("imported").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"<html>Quota exceeded</html>", "is a web page"), (b"PK\x03\x04", "is damaged"), (None, "does not exist")],
    ids=["html", "cut short", "missing"],
)
def test_files_that_cannot_be_read(content: bytes | None, says: str, advss: Advss) -> None:
    if content is not None:
        Path("file.pt").write_bytes(content)
    status, stdout, stderr = advss("import", "file.pt")
    assert (status, stdout) == (1, "")
    assert says in stderr.splitlines()[0]
    assert len(stderr.splitlines()) <= 2


def test_a_damaged_tensor_is_named(weights: dict[str, Tensor], advss: Advss) -> None:
    torch.save({name: tensor for name, tensor in weights.items() if name != "head.linear.bias"}, "file.pt")
    status, stdout, stderr = advss("import", "file.pt")
    assert (status, stdout) == (1, "")
    assert stderr == "Error: The weights do not fit the model; missing: head.linear.bias.\n"
