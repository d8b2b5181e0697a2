"""`advss eval`: what it refuses before any work, what it prints, what it leaves behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy import onnx_files

Advss = Callable[..., Any]
COLOURS = np.eye(3, 10)  # of three channels ten classes

MODEL = """
import torch

def build():
    print("this model is talkative")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 10, 8, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "talkative_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "talkative_model", raising=False)
    return "talkative_model:build"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--attack", "pdg20"], "pdg20"),
        (["--attack", "pgd0"], "pgd0"),
        (["--attack", " , "], "--attack"),
        (["--eps", "8/0"], "8/0"),
        (["--eps", "nan"], "nan"),
        (["--eps", "-1/255"], "-1/255"),
        (["--eps", "2"], "2"),
        (["--step-size", "abc"], "abc"),
        (["--data", "cifar11"], "cifar11"),
        (["--limit", "1001"], "1,000"),
        (["--norm", "l1"], "pgd20 does not support the norm l1"),
        (["--norm", "l0"], "l0"),
        (
            ["--attack", "autoattack", "--restarts", "2"],
            "--restarts cannot be used with autoattack.\nLeave out",
        ),
        (["--attack", "fab-t,clean", "--step-size", "1/255"], "--step-size cannot be used with fab-t or clean."),
        (
            ["--attack", "clean", "--save-adv"],
            "--save-adv needs adversarial images, which clean does not make.\nLeave out --save-adv.",
        ),
        (["--attack", "clean,corruptions", "--save-adv"], "does not make.\nLeave out --save-adv."),
        (["--attack", "auto-attack"], "Did you mean autoattack?"),
        (["--image-size", "32"], "--image-size needs a folder of images.\nLeave it out for cifar10-1k."),
        (["--data", "cifar10", "--whole"], "--whole needs a folder of images.\nLeave it out for cifar10."),
        (["--attack", "pgd20,corruptions", "--quantize"], "needs adversarial images, which corruptions does not make"),
        (["--attack", "clean", "--quantize"], "needs adversarial images, which clean does not make"),
        (["--robustbench-json"], "Its tables need --attack autoattack"),
        (["--attack", "autoattack", "--robustbench-json", "--data", "./mine"], "has no table for ./mine"),
        (["--attack", "corruptions,corruptions-archive", "--robustbench-json"], "one number for all corruptions"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    arguments: list[str], says: str, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advss_zoo.workflows.evaluate.open_model", lambda *_: pytest.fail("a model was loaded"))
    status, stdout, stderr = advss("eval", "some:thing", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "model",
    ["no_such_module:build", "json:no_such_function", "os:getcwd", "no-such-folder", "nowhere.safetensors", "a.pt"],
)
def test_a_model_that_cannot_be_had_is_a_sentence(model: str, advss: Advss) -> None:
    status, stdout, stderr = advss("eval", model, "--limit", "8")
    assert status in (1, 2)
    assert stdout == ""
    assert "Unexpected" not in stderr


def test_json_is_one_document_whatever_the_model_prints(model: str, advss: Advss) -> None:
    outcome = advss("eval", model, "--attack", "clean, pgd2", "--limit", "16", "--json")
    assert outcome.status == 0
    assert "this model is talkative" in outcome.stderr
    document = outcome.json
    assert set(document) == {"model", "data", "results", "out"}
    assert document["data"]["name"] == "cifar10-1k"
    assert (document["data"]["n"], document["data"]["split"]) == (16, "test")
    clean, attacked = document["results"]
    assert (clean["protocol"], attacked["protocol"]) == ("clean", "pgd2")
    assert clean["ra"] is None
    assert attacked["constants"]["eps"] == 8 / 255
    assert attacked["command"].startswith("advss eval")
    assert 0 <= attacked["ra"] <= attacked["ta"] <= 1
    assert attacked["ra_ci95"][0] <= attacked["ra"] <= attacked["ra_ci95"][1]
    for result in document["results"]:
        assert {"result.json", "verdicts.npz"} <= {path.name for path in Path(result["out"]).iterdir()}
        assert Path(result["out"]).parent == Path(document["out"])


def test_in_a_pipe_the_table_is_all_there_is_on_stdout(model: str, advss: Advss) -> None:
    status, stdout, stderr = advss("eval", model, "--attack", "clean", "--limit", "16", "--out", "mine")
    assert status == 0
    heading, row = (line.split("\t") for line in stdout.splitlines())
    assert heading == ["model", "data", "n", "protocol", "TA", "RA", "RA 95%", "images/s"]
    assert row[1:4] == ["cifar10-1k", "16", "clean"]
    assert "n = 16" in stderr
    assert "--data cifar10`" in stderr
    assert Path("mine/clean/result.json").exists()


@pytest.mark.parametrize("able", [True, False])
def test_a_search_in_bfloat16_is_advised_against_where_it_is_slow(
    able: bool, model: str, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advss_zoo.models.devices.computes_bfloat16", lambda device: able)
    outcome = advss("eval", model, "--attack", "pgd1", "--limit", "2", "--search", "bf16")
    assert outcome.status == 0
    assert ("no instructions for bfloat16" in outcome.stderr) == (not able)


def test_the_same_command_again_gives_the_same_result_at_once(model: str, advss: Advss) -> None:
    arguments = ["eval", model, "--attack", "pgd2", "--limit", "16", "--json"]
    assert advss(*arguments).json == advss(*arguments).json


OWN = """
import torch

class Scaled(torch.nn.Sequential):
    def forward(self, x):
        return {factor} * super().forward(x)

def build():
    torch.manual_seed(0)
    return Scaled(torch.nn.Conv2d(3, 10, 8, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""


def test_another_forward_with_the_same_weights_is_another_model(
    advss: Advss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["eval", "scaled_model:build", "--attack", "clean", "--limit", "8", "--json"]

    def run(factor: str) -> Any:
        monkeypatch.delitem(sys.modules, "scaled_model", raising=False)
        (tmp_path / "scaled_model.py").write_text(OWN.format(factor=factor))
        return advss(*arguments)

    first = run("1")
    assert run("1").json == first.json
    status, stdout, stderr = run("-10")
    assert (status, stdout) == (2, "")
    assert "holds results of another evaluation" in stderr


def test_other_constants_go_to_another_folder(model: str, advss: Advss) -> None:
    places = {
        advss("eval", model, "--attack", "pgd1", "--limit", "8", *more, "--json").json["results"][0]["out"]
        for more in ([], ["--eps", "4/255"], ["--norm", "l2"], ["--restarts", "2"], ["--seed", "1"])
    }
    assert len(places) == 5
    assert all(Path(place).is_dir() for place in places)


def test_a_constant_is_for_the_protocols_that_have_it(model: str, advss: Advss) -> None:
    arguments = ["--attack", "pgd1,clean,fab-t", "--eps", "4/255", "--restarts", "2", "--save-adv", "--limit", "2"]
    pgd, clean, fab = advss("eval", model, *arguments, "--json").json["results"]
    assert (pgd["constants"]["eps"], pgd["constants"]["restarts"]) == (4 / 255, 2)
    assert clean["constants"] == {"name": "clean", "label": "clean", "version": 1}
    assert fab["constants"]["label"] == "fab-t (linf, eps 4/255)"


def test_images_that_an_attack_cannot_take_are_refused_before_any_other_runs(model: str, advss: Advss) -> None:
    from PIL import Image

    for label, name in enumerate(("cats", "dogs")):
        Path("photos", name).mkdir(parents=True)
        for shade in range(4):
            Image.new("RGB", (40, 40), (shade, label, 0)).save(Path("photos", name, f"{shade}.png"))
    arguments = ["--data", "./photos", "--whole", "--image-size", "40", "--attack", "clean,unforeseen-snow-eps1"]
    status, stdout, stderr = advss("eval", model, *arguments, "--out", "mine")
    assert (status, stdout) == (2, "")
    assert "snow needs images whose sides are multiples of 32, got 40x40." in stderr
    assert "Choose --image-size 32 or 64." in stderr
    assert not Path("mine").exists()


def test_that_images_are_of_a_part_of_the_classes_is_said(model: str, advss: Advss) -> None:
    from PIL import Image

    for name, colour in (("cat", "red"), ("dog", "blue")):
        Path("photos", name).mkdir(parents=True)
        Image.new("RGB", (32, 32), colour).save(Path("photos", name, "1.png"))
    names = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
    arguments = ["--data", "./photos", "--whole", "--image-size", "32", "--classes", names, "--attack", "clean"]
    status, _, stderr = advss("eval", model, *arguments)
    assert status == 0
    assert "clean: images of 2 classes, measured over all 10 outputs of the model" in stderr


def test_every_look_at_test_images_is_logged(model: str, advss: Advss) -> None:
    for attack in ("clean", "pgd1"):
        assert advss("eval", model, "--attack", attack, "--limit", "8").status == 0
    first, second = map(json.loads, Path("runs/test-evaluations.jsonl").read_text().splitlines())
    assert (first["data"], first["split"], first["n"], first["protocol"]) == ("cifar10-1k", "test", 8, "clean")
    assert second["protocol"] == "pgd1"


def test_a_folder_that_cannot_be_written_to_only_leaves_no_log(model: str, advss: Advss) -> None:
    Path("runs").write_text("in the way")
    outcome = advss("eval", model, "--attack", "clean", "--limit", "8", "--out", "mine")
    assert outcome.status == 0
    assert "could not be recorded in runs/test-evaluations.jsonl" in outcome.stderr
    assert Path("mine/clean/result.json").exists()


# AutoAttack. At an eps of 1/2 the first attack breaks all images, and nothing is left for the others to do.
EASY = ["--attack", "autoattack", "--eps", "1/2", "--limit", "32"]


def test_autoattack_is_a_table_row_and_tells_of_each_attack(model: str, advss: Advss) -> None:
    status, stdout, stderr = advss("eval", model, *EASY)
    assert status == 0
    heading, row = (line.split("\t") for line in stdout.splitlines())
    found = dict(zip(heading, row, strict=True))
    assert found["protocol"] == "autoattack (linf, eps 0.5)"
    assert float(found["TA"]) > float(found["RA"]) == 0
    assert "RA 0.00 after apgd-ce, 0.00 after apgd-t, 0.00 after fab-t, 0.00 after square" in stderr
    assert "Warning" not in stderr


def test_autoattack_as_json_has_details_and_leaves_what_was_asked_for(model: str, advss: Advss) -> None:
    outcome = advss("eval", model, *EASY, "--save-adv", "--quantize", "--json")
    (result,) = outcome.json["results"]
    assert result["protocol"] == "autoattack"
    assert [attack["name"] for attack in result["details"]["attacks"]] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert result["details"]["ra_8bit"] == result["ra"] == 0
    assert "on the adversarial images rounded to 8 bit" in outcome.stderr
    assert {path.name for path in Path(result["out"]).iterdir()} == {
        *("result.json", "verdicts.npz", "adversarial.safetensors", "adversarial.pt")
    }
    again = advss("eval", model, *EASY, "--save-adv", "--quantize", "--json")
    assert again.json == outcome.json
    plain = advss("eval", model, *EASY, "--json").json["results"][0]
    assert plain["out"] != result["out"], "another measurement"


def test_images_that_were_not_kept_are_a_sentence(model: str, advss: Advss) -> None:
    assert advss("eval", model, *EASY).status == 0
    status, stdout, stderr = advss("eval", model, *EASY, "--save-adv")
    assert (status, stdout) == (2, "")
    assert "without adversarial images.\nChoose another --out" in stderr


def test_several_attacks_at_once_and_in_l1(model: str, advss: Advss) -> None:
    attacks = advss("eval", model, "--attack", "apgd-ce,square,clean", *EASY[2:], "--json").json["results"]
    assert [result["protocol"] for result in attacks] == ["apgd-ce", "square", "clean"]
    arguments = ["--attack", "apgd-ce", "--norm", "l1", "--eps", "900", "--limit", "32"]
    (result,) = advss("eval", model, *arguments, "--json").json["results"]
    assert (result["constants"]["norm"], result["constants"]["eps"]) == ("l1", 900)


def test_a_flag_is_a_warning(model: str, advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo.attacks import autoattack_driver as driver

    run = driver.run

    def only_square(name: str, net: Any, x: Any, y: Any, index: Any, **more: Any) -> Any:
        return run(name, net, x, y, index, **more) if name == "square" else x

    monkeypatch.setattr(driver, "run", only_square)
    _, _, stderr = advss("eval", model, *EASY)
    assert "Warning: Square, which uses no gradient, broke" in stderr


def test_what_is_done_to_a_foreign_model_is_said_once_and_on_stderr(advss: Advss, tmp_path: Path) -> None:
    onnx_files.others(tmp_path / "model.onnx", (1, 3, 32, 32), ends={"p": "Softmax"}, weights=COLOURS)
    outcome = advss("eval", "model.onnx", "--attack", "clean,square", "--limit", "2", "--json")
    assert outcome.status == 0
    assert len(outcome.json["results"]) == 2
    for says in ("has a fixed batch of 1, to which images are padded and cut.", "returns probabilities"):
        assert outcome.stderr.count(says) == 1
    assert "Warning" not in outcome.stderr


def test_one_output_of_several_is_chosen_by_an_option(advss: Advss, tmp_path: Path) -> None:
    onnx_files.others(tmp_path / "model.onnx", ("n", 3, 32, 32), ends={"a": "Identity", "b": "Tanh"}, weights=COLOURS)
    evaluation = ("eval", "model.onnx", "--attack", "clean", "--limit", "2")
    status, stdout, stderr = advss(*evaluation)
    assert (status, stdout) == (1, "")
    assert "choose with --output NAME" in stderr
    assert advss(*evaluation, "--output", "b").status == 0
    status, stdout, stderr = advss(*evaluation, "--output", "c")
    assert (status, stdout) == (2, "")
    assert "Choose from a, b" in stderr


@pytest.mark.parametrize(("weight", "status"), [(1.0, 0), (float("nan"), 1), (float("inf"), 1)])
def test_an_output_that_is_not_finite_is_refused(weight: float, status: int, advss: Advss, tmp_path: Path) -> None:
    onnx_files.others(tmp_path / "model.onnx", ("n", 3, 32, 32), weights=np.array(COLOURS) * weight)
    for more in ((), ("--json",)):
        outcome = advss("eval", "model.onnx", "--attack", "clean", "--limit", "2", *more)
        assert outcome.status == status
        assert (outcome.stdout == "") == bool(status)
        assert ("The model's output is NaN or infinite." in outcome.stderr) == bool(status)
