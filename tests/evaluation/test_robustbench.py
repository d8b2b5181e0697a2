"""RobustBench's schema of results, and RobustBench itself on a model of the zoo."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from advss_zoo import load_model
from advss_zoo.data.load import load_data
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols, robustbench
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.schema import Constants, Details
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.ensemble import Ensemble


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ResNetV2(ResNetV2Architecture(depth=18, width=2)).eval()


@pytest.fixture(scope="module")
def result(model):
    quick = replace(protocols.parse("autoattack"), iterations=1, queries=1)
    found = evaluate(model, load_data("cifar10-1k", "test").first(8), quick)
    return found.model_copy(update={"ta": 0.8604, "ra": 0.5156})


def test_a_checkpoint_of_the_zoo_comes_with_its_paper(result, model, tmp_path):
    named = result.model.model_copy(update={"name": "../p1f4.mini"})
    path = robustbench.write(result.model_copy(update={"model": named}), model, tmp_path, ours=True)
    assert path == tmp_path / "model_info" / "cifar10" / "Linf" / "p1f4.mini.json"
    document = json.loads(path.read_text())
    assert document["link"] == "https://arxiv.org/abs/2003.12862"
    assert document["venue"] == "CVPR 2020"
    assert (document["clean_acc"], document["reported"], document["autoattack_acc"]) == ("86.04", "51.56", "51.56")
    assert (document["eps"], document["number_forward_passes"]) == ("8/255", 1)
    assert document["architecture"] == "ResNet-18v2 (width 2)"
    assert "8 test images only" in document["footnote"]


def test_what_is_not_known_of_a_model_is_left_to_its_author(result):
    document = robustbench.model_info(result, torch.nn.Linear(1, 1), ours=False)
    assert [document[key] for key in ("link", "name", "authors", "venue", "additional_data")] == [None] * 5
    assert document["architecture"] == "Linear"


def test_an_ensemble_says_how_many_networks_it_is(result, model):
    document = robustbench.model_info(result, Ensemble([model, model, model]), ours=True)
    assert (document["number_forward_passes"], document["architecture"]) == (3, "3 x ResNet-18v2 (width 2)")


def test_the_mean_over_the_corruptions_is_no_autoattack(result, model):
    protocol, details = Constants(**protocols.parse("corruptions").constants()), Details(corruption_accuracy=0.7)
    corrupted = result.model_copy(update={"protocol": protocol, "ra": None, "details": details})
    document = robustbench.model_info(corrupted, model, ours=True)
    assert (document["corruptions_acc"], document["eps"]) == ("70.00", None)
    assert "autoattack_acc" not in document
    assert "generated" in document["footnote"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *(("pgd20", {}), ("apgd-ce", {}), ("autoattack", {"norm": "l1"}), ("autoattack", {"search": "bf16"})),
        *(("autoattack", {"eps": 4 / 255}), ("autoattack", {"norm": "l2", "eps": 1.0})),
    ],
)
def test_only_its_own_protocols_have_a_table(name, settings, result, model):
    other = result.model_copy(update={"protocol": Constants(**protocols.parse(name, **settings).constants())})
    with pytest.raises(UsageError, match="no table"):
        robustbench.model_info(other, model, ours=True)


def test_what_cannot_be_written_is_known_before_it_is_measured():
    auto, generated, published = (
        protocols.parse(name).constants() for name in ("autoattack", "corruptions", "corruptions-archive")
    )
    robustbench.check([auto, generated, protocols.parse("pgd20").constants()], "cifar100")
    for found, data in [([auto], "mine"), ([], "cifar10"), ([generated, published], "cifar10")]:
        with pytest.raises(UsageError):
            robustbench.check(found, data)


@pytest.fixture
def its(monkeypatch):
    """RobustBench as PyPI has it (1.1.1), which imports `autoattack` and calls it by that package's argument names.

    PyPI has only `pyautoattack`, whose arguments have other names and which returns a pair, so this
    is more than an alias.
    """
    package = importlib.import_module("pyautoattack")

    class AutoAttack(package.AutoAttack):
        def __init__(self, model, *, log_path, **options):
            assert log_path is None
            super().__init__(model, **options)

        def run_standard_evaluation(self, x, y, *, bs, state_path):
            adversarial, _ = super().run_standard_evaluation(x, y, batch_size=bs, state_path=state_path)
            return adversarial

    alias = ModuleType("autoattack")
    alias.AutoAttack = AutoAttack
    monkeypatch.setitem(sys.modules, "autoattack", alias)
    monkeypatch.setitem(sys.modules, "autoattack.state", importlib.import_module("pyautoattack.state"))
    return importlib.import_module("robustbench.eval")


@pytest.mark.peers
def test_robustbench_runs_on_our_models(its, monkeypatch):
    """Its loader of clean data wants the official pickles, so it is given ours."""
    images = load_data("cifar10-1k", "test").first(4)
    clean = torch.from_numpy(images.images).float() / 255, torch.from_numpy(images.labels)
    monkeypatch.setattr(its, "load_clean_dataset", lambda *_: clean)
    model = load_model("p1f3.mini")  # breaks at the first attack, so that this takes seconds
    ta, ra = its.benchmark(model, n_examples=4, dataset="cifar10", threat_model="Linf", eps=8 / 255)
    ours = evaluate(model, images, "autoattack")
    assert (ta, ra) == (ours.ta, ours.ra)
