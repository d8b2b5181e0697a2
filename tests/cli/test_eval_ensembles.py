"""`advss eval` of ensembles, and of models that would make its numbers meaningless."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from advss_zoo.data.subset import load_subset
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.zoo import checkpoint

Advss = Callable[..., Any]

MODELS = """
import torch
from torch import nn

from advss_zoo.models.ensemble import Ensemble


def member(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 10, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def ensemble():
    return Ensemble([member(0), member(1)], ["one", "other"])


def other():
    return member(1)


class Noisy(nn.Sequential):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.rand_like(x))


def noisy():
    return Noisy(*member())


class Stubborn(nn.Sequential):
    def train(self, mode=True):
        return super().train(True)


def stubborn():
    return Stubborn(nn.BatchNorm2d(3), *member())


def probabilities():
    return nn.Sequential(*member(), nn.Softmax(dim=1))


class Rounded(nn.Sequential):
    def forward(self, x):
        return super().forward((x * 15).round() / 15)


def rounded():
    return Rounded(*member())
"""
QUICK = ["--eps", "1/255", "--limit", "16"]


def saved_classifier(folder: Path, seed: int, classes: tuple[str, ...] = load_subset().classes) -> None:
    torch.manual_seed(seed)
    architecture = ResNetV2Architecture(depth=18, width=2)
    config = checkpoint.Config(name="tiny", tag="test", scenario="p3f4", architecture=architecture, classes=classes)
    checkpoint.save(folder, ResNetV2(architecture).state_dict(), config)


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made_up_models", raising=False)


def test_transfer_is_a_row_and_says_who_fools_whom(advss: Advss) -> None:
    status, stdout, stderr = advss("eval", "made_up_models:ensemble", "--attack", "transfer", *QUICK)
    assert status == 0
    heading, row = (line.split("\t") for line in stdout.splitlines())
    assert dict(zip(heading, row, strict=True))["protocol"] == "transfer (linf, eps 1/255)"
    (path,) = Path("runs/eval").rglob("result.json")
    shown = json.loads(path.read_text())["details"]["transfer"]
    assert (shown["sources"], shown["targets"]) == (["one", "other"], ["one", "other", "ensemble"])
    for source, rates in zip(shown["sources"], shown["asr"], strict=True):
        one, other, ensemble = (f"{100 * rate:.2f}" for rate in rates)
        assert f"made on {source}, wrong: one {one}, other {other}, ensemble {ensemble}\n" in stderr


def test_ensemble_worst_tells_what_each_attack_does_first_and_alone(advss: Advss) -> None:
    arguments = ["eval", "made_up_models:ensemble", "--attack", "ensemble-worst", *QUICK]
    outcome = advss(*arguments, "--json")
    (result,) = outcome.json["results"]
    details = result["details"]
    together = ["log-mean-probability", "mean-logits", "sum-of-losses", "mean-probability"]
    names = [*together, "transfer from one", "transfer from other"]
    assert [part["name"] for part in details["parts"]] == [attack["name"] for attack in details["attacks"]] == names
    assert result["ra"] == details["attacks"][-1]["accuracy"] <= min(part["accuracy"] for part in details["parts"])
    assert f"{100 * result['ra']:.2f} after transfer from other" in outcome.stderr
    assert f"RA alone: log-mean-probability {100 * details['parts'][0]['accuracy']:.2f}, mean-logits" in outcome.stderr


def test_checkpoints_joined_by_plus_go_by_their_names(advss: Advss) -> None:
    arguments = ["eval", "p1f4+p1f3", "--attack", "transfer", "--limit", "8", "--json"]
    (result,) = advss(*arguments).json["results"]
    assert result["details"]["transfer"]["sources"] == ["p1f4.mini", "p1f3.mini"]


def test_models_of_ones_own_and_checkpoints_are_one_ensemble(advss: Advss) -> None:
    own = "p1f4+made_up_models:member+made_up_models:other"
    outcome = advss("eval", own, "--attack", "transfer", *QUICK, "--json")
    (result,) = outcome.json["results"]
    names = ["p1f4.mini", "made_up_models:member", "made_up_models:other"]
    assert result["details"]["transfer"]["sources"] == names
    assert outcome.json["model"]["name"] == "+".join(names)
    (pair,) = result["details"]["venn"]["p1f4.mini"]
    both, one, other = (f"{100 * share:.2f}" for share in pair["of_all"])
    of_both = f"{100 * pair['of_union'][0]:.2f}"
    assert (
        "made on p1f4.mini, wrong on (and of those wrong on either): "
        f"made_up_models:member and made_up_models:other {both} ({of_both}), made_up_models:member alone {one} ("
    ) in outcome.stderr
    assert f", made_up_models:other alone {other} (" in outcome.stderr


def test_namesakes_in_an_ensemble_are_told_apart_by_their_weights(advss: Advss) -> None:
    for seed in (1, 2):
        saved_classifier(Path(f"run{seed}"), seed)
    outcome = advss("eval", "run1+run2", "--attack", "transfer", *QUICK, "--json")
    (result,) = outcome.json["results"]
    digests = [checkpoint.read_config(Path(f"run{seed}")).sha256 or "" for seed in (1, 2)]
    assert result["details"]["transfer"]["sources"] == [f"tiny.test ({digest[:7]})" for digest in digests]


def test_models_that_know_different_classes_are_no_ensemble(advss: Advss) -> None:
    saved_classifier(Path("mine"), 1, tuple("abcdefghij"))
    status, _, stderr = advss("eval", "p1f4+mine", "--attack", "transfer", *QUICK)
    assert status == 2
    assert "Members of an ensemble must have the same classes: p1f4.mini airplane," in stderr


@pytest.mark.parametrize("attack", ["transfer", "ensemble-worst"])
def test_a_single_model_is_refused_before_other_attacks_run(attack: str, advss: Advss) -> None:
    status, stdout, stderr = advss("eval", "made_up_models:member", "--attack", f"pgd2,{attack}", *QUICK)
    assert (status, stdout) == (2, "")
    error, hint = stderr.splitlines()[-2:]
    assert error.startswith(f"Error: {attack} needs an ensemble of at least two models")
    assert hint == "Join models with +, for example `advss eval p1f4+selfie-p3f4`."
    assert not Path("runs").exists()


def test_the_same_checkpoint_twice_is_refused(advss: Advss) -> None:
    status, _, stderr = advss("eval", "p1f4+p1f4.mini", "--attack", "transfer", "--limit", "8")
    assert status == 2
    assert "p1f4.mini is in the ensemble more than once" in stderr


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("noisy", "Error: The model is random"),
        ("stubborn", "Error: The model stays in train mode (Stubborn, BatchNorm2d"),
        ("rounded", "Error: The gradient of the model's loss is exactly 0"),
    ],
)
def test_models_that_make_a_number_meaningless_are_a_sentence(model: str, says: str, advss: Advss) -> None:
    status, stdout, stderr = advss("eval", f"made_up_models:{model}", "--attack", "pgd20", *QUICK)
    assert (status, stdout) == (1, "")
    assert says in stderr
    assert not list(Path("runs").rglob("result.json"))


def test_probabilities_are_attacked_by_their_logarithm(advss: Advss) -> None:
    status, _, stderr = advss("eval", "made_up_models:probabilities", "--attack", "pgd2", *QUICK)
    assert (status, stderr.count("The model returns probabilities; their logarithm is taken.")) == (0, 1)


def test_autoattack_measures_what_has_no_gradient_and_warns(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo.attacks import autoattack_driver as driver

    monkeypatch.setattr(driver, "run", lambda name, net, x, y, **more: x)
    outcome = advss("eval", "made_up_models:rounded", "--attack", "autoattack", "--limit", "8")
    assert outcome.status == 0
    assert "Warning: 8 of 8 images have a gradient of exactly 0" in outcome.stderr
