"""The unforeseen attacks as protocols: all of them, at every strength, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from advss_zoo.attacks.kang2019 import attacks
from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.protocols import Settings
from advss_zoo.evaluation.protocols.unforeseen import UnforeseenAttack
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture


@pytest.mark.parametrize("attack", list(attacks()))
@pytest.mark.parametrize("strength", [1, 6])
def test_every_attack_has_its_calibrated_strengths(attack, strength):
    protocol = protocols.parse(f"unforeseen-{attack}-eps{strength}")
    assert protocol.constants()["strength"] == CIFAR10[attack].eps[strength - 1]
    assert protocol.constants()["steps"] == 200


@pytest.mark.parametrize("attack", list(attacks()))
def test_every_attack_runs_through_an_evaluation(attack, tmp_path):
    torch.manual_seed(0)
    model = ResNetV2(ResNetV2Architecture(depth=18, width=2)).eval()
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    labels = model(images / 255).argmax(dim=1)  # or nothing would be attacked
    protocol = replace(protocols.parse(f"unforeseen-{attack}-eps3"), steps=2)
    result = evaluate(model, (images, labels), protocol, out=tmp_path)
    assert (result.n, result.ta) == (8, 1)
    assert result.ra is not None
    assert evaluate(model, (images, (labels + 1) % 10), protocol).ta == 0


class Throughout(UnforeseenAttack):
    """Attacks mistakes, too."""

    attacks_misclassified = True


@pytest.mark.parametrize("attack", ["linf", "elastic"])
def test_no_accuracy_depends_on_what_becomes_of_mistakes(attack, patches, pictures, tmp_path):
    found = {}
    for kind in (UnforeseenAttack, Throughout):
        protocol = replace(kind.create(f"unforeseen-{attack}-eps1", Settings()), steps=5)
        evaluate(patches, pictures, protocol, out=tmp_path / kind.__name__)
        found[kind] = Verdicts.read(tmp_path / kind.__name__ / "verdicts.npz")
    spared, throughout = found.values()
    assert 0 < spared.ra_hits == throughout.ra_hits < spared.ta_hits < len(spared)
    assert spared.agreement(throughout) == len(spared)
    assert (spared.attacked_prediction == spared.clean_prediction)[~spared.right].all()


def test_an_untargeted_attack_leads_away_from_the_label():
    """In Linf, with the same start: PGD on the cross-entropy, which raises it further than a random target does."""
    torch.manual_seed(0)
    model = ResNetV2(ResNetV2Architecture(depth=18, width=2)).eval().requires_grad_(False)
    x, y, index = torch.rand(8, 3, 32, 32), torch.arange(8), torch.arange(8)
    losses = {}
    for name in ("unforeseen-linf-eps4", "unforeseen-linf-eps4-untargeted"):
        protocol = replace(protocols.parse(name), steps=5)
        assert protocol.name == name
        losses[name] = torch.nn.functional.cross_entropy(model(protocol.attack(model, x, y, index)), y)
    assert losses["unforeseen-linf-eps4-untargeted"] > losses["unforeseen-linf-eps4"]
    targeted, untargeted = (protocols.parse(name).constants() for name in losses)
    assert {key for key in targeted if targeted[key] != untargeted[key]} == {"name", "label", "loss"}


@pytest.mark.parametrize("name", ["unforeseen-fog-eps7", "unforeseen-frog-eps1", "unforeseen-frog"])
def test_unknown_ones_are_refused(name):
    with pytest.raises(UsageError):
        protocols.parse(name)


def test_everything_but_the_seed_is_in_the_name():
    with pytest.raises(UsageError, match="--eps cannot be used with unforeseen-fog-eps4"):
        protocols.parse("unforeseen-fog-eps4", eps=0.1)


def test_sizes_that_an_attack_cannot_take_are_named():
    snow = protocols.parse("unforeseen-snow-eps1")
    snow.for_images((3, 32, 64))
    with pytest.raises(UsageError, match=r"multiples of 32, got 40x40\. Choose --image-size 32 or 64\."):
        snow.for_images((3, 40, 40))
    with pytest.raises(UsageError, match=r"Choose --image-size 32\."):
        snow.for_images((3, 20, 20))
    protocols.parse("unforeseen-fog-eps1").for_images((3, 9, 9))


def test_a_suite_stands_for_its_protocols():
    assert protocols.expand("unforeseen-fog") == tuple(f"unforeseen-fog-eps{place}" for place in range(1, 7))
    everything = protocols.expand("unforeseen")
    assert len(set(everything)) == 6 * len(attacks())
    assert all(protocols.parse(name).name == name for name in everything)
    assert protocols.expand("pgd20") == ("pgd20",)


@pytest.mark.parametrize("suite", ["unforeseen", "unforeseen-fog", "unforeseen-jpeg-l1"])
def test_untargeted_suites(suite):
    untargeted = protocols.expand(f"{suite}-untargeted")
    assert untargeted == tuple(f"{name}-untargeted" for name in protocols.expand(suite))
    assert not any(protocol.targeted for protocol in protocols.parse_all([f"{suite}-untargeted"]))


def test_a_suite_is_no_protocol():
    with pytest.raises(UsageError, match=r"several protocols.*unforeseen-fog-eps1"):
        protocols.parse("unforeseen-fog")
