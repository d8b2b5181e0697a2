"""UAR out of results: the published formula, and when there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.schema import Constants
from advss_zoo.evaluation.uar import scores
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture


@pytest.fixture(scope="module")
def result():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8)
    protocol = replace(protocols.parse("unforeseen-linf-eps1"), steps=1)
    found = evaluate(ResNetV2(ResNetV2Architecture(depth=18, width=2)).eval(), images, protocol)
    return on(found, "cifar10")


def on(result, data):
    return result.model_copy(update={"data": result.data.model_copy(update={"name": data})})


def under(result, name, ra=0.5):
    return result.model_copy(update={"protocol": Constants(**protocols.parse(name).constants()), "ra": ra})


def measured(result, attack, accuracies):
    return [
        under(result, name, accuracy)
        for name, accuracy in zip(protocols.expand(f"unforeseen-{attack}"), accuracies, strict=False)
    ]


def test_the_published_formula(result):
    accuracies = [0.9, 0.8, 0.7, 0.5, 0.2, 0.1]
    expected = 320 / (90.95 + 87.80 + 81.59 + 71.34 + 46.50 + 23.11)
    assert scores(measured(result, "linf", accuracies)) == {"linf": pytest.approx(expected)}


def test_a_network_as_good_as_those_trained_for_the_attack_has_1(result):
    for attack, calibration in CIFAR10.items():
        if calibration.ata:
            found = scores(measured(result, attack, [accuracy / 100 for accuracy in calibration.ata]))
            assert found == {attack: pytest.approx(1.0)}


def test_there_is_none_without_every_strength_or_a_calibration(result):
    elsewhere = on(result, "my-pictures")
    assert scores(measured(elsewhere, "linf", [0.5] * 6)) == {}, "the calibration is that of CIFAR-10"
    pgd = under(result, "pgd20")
    assert scores([*measured(result, "l2", [0.5] * 5), *measured(result, "fog", [0.5] * 6), pgd]) == {}
    names = (f"{name}-untargeted" for name in protocols.expand("unforeseen-linf"))
    assert scores([under(result, name) for name in names]) == {}


def test_there_is_none_with_a_strength_that_was_not_calibrated(result):
    *others, last = measured(result, "linf", [0.5] * 6)
    odd = last.model_copy(update={"protocol": last.protocol.model_copy(update={"strength": 40.0})})
    assert scores([*others, last, odd]) == {}
