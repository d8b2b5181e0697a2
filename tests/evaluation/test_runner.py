"""Evaluation as a whole: verdicts, what they do not depend on, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from evaluation.conftest import patches
from evaluation.helpers import quick, stop_at
from safetensors.torch import load_file
from torch import nn

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.protocols import Protocol, Settings, parse
from advss_zoo.evaluation.protocols.corruptions import Published
from advss_zoo.evaluation.protocols.pgd import PgdProtocol
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.identity import weights_sha256
from advss_zoo.registry import subclasses


class Spy(nn.Module):
    """Hands images on and notes what it saw."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.shapes = []
        self.modes = set()

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        self.modes.add((self.training, self.model.training, any(p.requires_grad for p in self.parameters())))
        return self.model(x)


def resnet():
    torch.manual_seed(0)
    return ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval()


def padded(n):
    """The next multiple of 8."""
    return -(-n // 8) * 8


def test_accuracies_are_those_of_the_definitions(patches, pictures, tmp_path):
    result = evaluate(patches, pictures, "pgd3", out=tmp_path)
    x = torch.from_numpy(pictures.images).float() / 255
    y, index = torch.from_numpy(pictures.labels), torch.from_numpy(pictures.index)
    clean = patches(x).argmax(dim=1)
    attacked = patches(parse("pgd3").attack(patches, x, y, index)).argmax(dim=1)
    verdicts = Verdicts.read(tmp_path / "verdicts.npz")
    assert verdicts.clean_prediction.tolist() == clean.tolist()
    assert verdicts.attacked_prediction.tolist() == torch.where(clean == y, attacked, clean).tolist()
    assert verdicts.label.tolist() == pictures.labels.tolist()
    assert verdicts.index.tolist() == pictures.index.tolist()
    assert result.ta == (clean == y).double().mean().item()
    assert result.ra == ((clean == y) & (attacked == y)).double().mean().item()


def test_clean_makes_no_attack(patches, pictures):
    spy = Spy(patches)
    result = evaluate(spy, pictures, "clean")
    assert (result.ra, result.ra_ci95) == (None, None)
    assert len(spy.shapes) == 1 + 2 + 3, "one for the form of its output, two for the check, one a pass"


def test_the_shapes_that_the_network_sees_are_fixed(patches, pictures):
    """Rounding, and through it a verdict, depends on them."""
    spy = Spy(patches)
    evaluate(spy, pictures, "pgd2")
    # 4 to check it, then 150 images in passes of 64, 64 and 22. Each: clean, 2 steps of those that are right, attacked.
    right = torch.from_numpy(pictures.labels) == patches(torch.from_numpy(pictures.images) / 255).argmax(dim=1)
    expected = [8] + [64] * 3
    for part in right.split(64):
        expected += [padded(len(part)), *[padded(int(part.sum()))] * 2, padded(len(part))]
    assert [shape[0] for shape in spy.shapes] == expected


def test_images_that_are_misclassified_clean_stay_as_they_are(patches, pictures, tmp_path):
    evaluate(patches, pictures, "pgd20-any", out=tmp_path, save_adversarial=True)
    kept, verdicts = load_file(tmp_path / "adversarial.safetensors"), Verdicts.read(tmp_path / "verdicts.npz")
    same = (kept["x_adv"] == torch.from_numpy(pictures.images) / 255).flatten(1).all(dim=1).numpy()
    assert np.array_equal(same, ~verdicts.right)
    assert (verdicts.attacked_prediction == verdicts.clean_prediction)[same].all()
    assert 0 < same.sum() < len(same)


def test_a_model_that_is_never_right_is_not_attacked(patches, pictures):
    wrong = (patches(torch.from_numpy(pictures.images) / 255).argmax(dim=1) + 1) % 10
    result = evaluate(patches, (pictures.images, wrong), "pgd2")
    assert (result.ta, result.ra) == (0, 0)


def test_the_same_call_gives_the_same_verdicts_and_another_seed_others(patches, pictures):
    first, again, other = (evaluate(patches, pictures, parse("pgd1", seed=seed)) for seed in (0, 0, 1))
    assert first.verdicts == again.verdicts != other.verdicts
    assert other.seed == 1


def test_a_part_of_the_data_keeps_its_starts(patches, pictures, tmp_path):
    """Random starts follow the index of an image, not its place in the evaluation."""
    evaluate(patches, pictures, parse("pgd1", eps=4 / 255), out=tmp_path / "all")
    chosen = np.array([100, 3, 77, 149, 12, 5, 6, 8, 90])
    evaluate(patches, pictures.take(chosen), parse("pgd1", eps=4 / 255), out=tmp_path / "part")
    every, part = (Verdicts.read(tmp_path / name / "verdicts.npz") for name in ("all", "part"))
    assert part.index.tolist() == chosen.tolist()
    assert part.attacked_prediction.tolist() == every.attacked_prediction[chosen].tolist()


@pytest.mark.parametrize("family", subclasses(protocols, Protocol))
def test_verdicts_do_not_depend_on_how_many_images_are_attacked_at_once(family, pictures, publish):
    pictures = pictures.first(40)
    if family is Published:
        publish(pictures)
    model = Ensemble([patches(0), patches(1)], names=["a", "b"])  # which every family takes
    protocol = quick(family.examples[0].replace("20", "2"))
    once = evaluate(model, pictures, protocol).verdicts
    for size in (8, 24, 3):
        assert evaluate(model, pictures, protocol, batch_size=size).verdicts == once


def test_a_pass_that_does_not_fit_into_memory_is_made_in_halves(patches, pictures, tmp_path):
    class Large(Spy):
        def forward(self, x):
            if len(x) > 64:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().forward(x)

    spy = Large(patches)
    found = evaluate(spy, pictures, "pgd2", out=tmp_path, save_adversarial=True, batch_size=140)
    assert found.verdicts == evaluate(patches, pictures, "pgd2").verdicts
    assert max(shape[0] for shape in spy.shapes) > 32


def test_a_model_for_which_memory_does_not_suffice_at_all(pictures):
    class TooLarge(nn.Module):
        def forward(self, x):
            if len(x) > 8 or x.requires_grad:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return x.mean(dim=(2, 3))

    with pytest.raises(AdvssError, match="out of memory"):
        evaluate(TooLarge(), pictures, "pgd2")


def test_arrays_give_what_the_image_set_gives(patches, pictures):
    expected = evaluate(patches, pictures, "pgd2")
    for images in (pictures.images, torch.from_numpy(pictures.images).float() / 255):
        result = evaluate(patches, (images, pictures.labels), "pgd2")
        assert result.verdicts == expected.verdicts
    assert result.data.name == "arrays"


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_attacked_in_eval_mode_and_left_as_it_was(training, pictures):
    model = resnet()
    model.trunk.conv1.weight.requires_grad_(False)
    model.train(training)
    model.head.eval()
    modes = [module.training for module in model.modules()]
    spy = Spy(model)
    before = weights_sha256(model)
    evaluate(spy, pictures.first(16), "pgd2")
    assert spy.modes == {(False, False, False)}
    assert [module.training for module in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert all(p.grad is None for p in model.parameters())
    assert weights_sha256(model) == before, "running statistics did not move"


def test_a_caller_without_gradients_gets_the_same(patches, pictures):
    expected = evaluate(patches, pictures.first(64), "pgd2").verdicts
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluate(patches, pictures.first(64), "pgd2").verdicts == expected


def test_progress_counts_images(patches, pictures):
    calls = []
    evaluate(patches, pictures, "clean", progress=lambda *call: calls.append(call))
    assert calls == [(0, 150, ""), (64, 150, ""), (128, 150, ""), (150, 150, "")]


def test_the_command_is_the_one_typed(patches, pictures, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/advss", "eval", "--out", "my folder"])
    assert evaluate(patches, pictures.first(8), "clean").command == "advss eval --out 'my folder'"
    assert evaluate(patches, pictures.first(8), "clean", command="advss x").command == "advss x"


def test_an_ensemble_is_attacked_as_one_model(pictures):
    torch.manual_seed(1)
    members = [ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval() for _ in range(2)]
    assert evaluate(Ensemble(members), pictures.first(16), "pgd2").ra is not None


# Rounding to 8 bit.


def test_the_accuracy_on_rounded_images(patches, pictures, tmp_path):
    protocol = parse("pgd3", eps=1.5 / 255)
    result = evaluate(patches, pictures, protocol, out=tmp_path, quantize=True)
    plain = evaluate(patches, pictures, protocol)
    x = torch.from_numpy(pictures.images).float() / 255
    y, index = torch.from_numpy(pictures.labels), torch.from_numpy(pictures.index)
    levels = (protocol.attack(patches, x, y, index) * 255).round().to(torch.uint8)
    rounded = patches(levels.float() / 255).argmax(dim=1) == y
    expected = (patches(x).argmax(dim=1) == y) & rounded
    signs = {"zero_gradients": 0.0, "no_rise": 0.0}
    assert result.details.to_dict() == {**signs, "ra_8bit": expected.double().mean().item()}
    assert result.details.ra_8bit != result.ra == plain.ra, "or rounding makes no difference here"
    assert (plain.details.to_dict(), result.protocol.quantize) == (signs, True)
    assert result.fingerprint != plain.fingerprint
    assert check(tmp_path / "result.json") == result


def test_clean_images_are_not_rounded(patches, pictures):
    assert evaluate(patches, pictures, "clean", quantize=True).details.to_dict() == {}


# What is refused.


class Noisy(nn.Sequential):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.rand_like(x))


class Detached(nn.Sequential):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Twice(nn.Sequential):
    def forward(self, x):
        return super().forward(x), super().forward(-x)


def with_layers(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Noisy(nn.Flatten(), nn.Linear(3072, 10)), "random"),
        (with_layers(nn.BatchNorm2d(3, track_running_stats=False)), "mixes the images"),
        (Detached(nn.Flatten(), nn.Linear(3072, 10)), "no gradient"),
        (Twice(nn.Flatten(), nn.Linear(3072, 10)), "tuple"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3072, 10), nn.Flatten(0)), r"shape \(80,\)"),
        (nn.Conv2d(4, 10, 3), "fails on images of shape"),
    ],
    ids=["noise", "batch statistics", "no gradient", "tuple", "flat", "channels"],
)
def test_models_that_cannot_be_measured(model, says, pictures):
    with pytest.raises(AdvssError, match=says):
        evaluate(model, pictures.first(16), "pgd2")


def test_the_logarithm_of_probabilities_is_fine(patches, pictures):
    model = nn.Sequential(patches, nn.LogSoftmax(dim=1))
    assert evaluate(model, pictures, "pgd2").ra == pytest.approx(evaluate(patches, pictures, "pgd2").ra, abs=0.02)


class Rounded(nn.Sequential):
    def forward(self, x):
        return super().forward((x * 255).round() / 255)


@pytest.mark.parametrize("name", ["pgd2", "apgd-ce", "fab-t"])
def test_a_model_without_slope_is_refused_where_there_is_nothing_else_to_go_by(name, patches, pictures):
    with pytest.raises(AdvssError, match=r"exactly 0 for all of the first 64 images.*--attack square"):
        evaluate(Rounded(*patches), pictures, name)


@pytest.mark.parametrize("name", ["clean", "square", "autoattack"])
def test_a_model_without_slope_can_be_measured_otherwise(name, patches, pictures):
    assert evaluate(Rounded(*patches), pictures.first(16), quick(name)).ta > 0.5


class Spoilt(nn.Sequential):
    """Finite logits with a gradient of NaN at the first image."""

    def forward(self, x):
        logits = super().forward(x)
        logits[0] = logits[0] + (0 * x[0].sum()).sqrt()
        return logits


@pytest.mark.parametrize("name", ["pgd2", "pgd2-any", "apgd-ce", "autoattack"])
def test_a_gradient_that_is_not_finite_is_no_robustness(name, patches, pictures):
    with pytest.raises(AdvssError, match=r"NaN or infinite for 1 of .* images, which makes none of them robust"):
        evaluate(Spoilt(*patches), pictures, quick(name))


def test_one_image_without_slope_is_no_reason_to_refuse(patches, pictures, tmp_path):
    """The last image of an interrupted run, all that is left to do, has a gradient of 0."""
    x = torch.from_numpy(pictures.images[:65]).float() / 255
    x[64] = 0.125

    class Saturated(nn.Module):
        def forward(self, x):
            flat = (x - 0.125).abs().amax(dim=(1, 2, 3), keepdim=True).detach() < 0.05
            return patches(torch.where(flat, x.detach(), x))

    data = x, pictures.labels[:65]
    with pytest.raises(KeyboardInterrupt):
        evaluate(Saturated(), data, "pgd1", out=tmp_path, progress=stop_at(64))
    assert evaluate(Saturated(), data, "pgd1", out=tmp_path).n == 65


def test_a_random_model_is_found_by_a_single_image(pictures):
    with pytest.raises(AdvssError, match="random"):
        evaluate(Noisy(nn.Flatten(), nn.Linear(3072, 10)), pictures.first(1), "clean")


def test_a_model_that_mixes_images_is_found_by_a_single_one(pictures):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3072, track_running_stats=False), nn.Linear(3072, 10))
    with pytest.raises(AdvssError, match="mixes the images"):
        evaluate(model, pictures.first(1), "clean")


def test_dropout_that_forgets_eval_mode_is_found(patches, pictures):
    patches[1].register_forward_hook(lambda _, __, output: nn.functional.dropout(output, 0.1))
    with pytest.raises(AdvssError, match="random"):
        evaluate(patches, pictures, "clean")


def test_a_model_without_gradient_can_be_measured_on_clean_images(pictures):
    assert evaluate(Detached(nn.Flatten(), nn.Linear(3072, 10)), pictures, "clean").ra is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite(value, patches, pictures):
    with torch.no_grad():
        patches[3].weight[2, 2] = value
    with pytest.raises(AdvssError, match="NaN or infinite"):
        evaluate(patches, pictures, "clean")


def test_output_that_is_not_finite_for_a_later_image(patches, pictures):
    images = torch.from_numpy(pictures.images).float() / 255
    images[100] = 0

    class Brittle(nn.Module):
        def forward(self, x):
            return patches(x) / (x.amax(dim=(1, 2, 3)) > 0).float()[:, None]

    with pytest.raises(AdvssError, match="NaN or infinite"):
        evaluate(Brittle(), (images, pictures.labels), "clean")


def test_class_counts_that_differ(pictures):
    with pytest.raises(UsageError, match="has 7 classes, but made-up has 10"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(3072, 7)), pictures, "clean")


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_outside_the_models_classes(label, patches, pictures):
    labels = pictures.labels.copy()
    labels[3] = label
    with pytest.raises(UsageError, match="the model's 10 classes are 0 to 9"):
        evaluate(patches, (pictures.images, labels), "clean")


def test_a_protocol_that_does_not_exist(patches, pictures):
    with pytest.raises(UsageError, match="pdg20"):
        evaluate(patches, pictures, "pdg20")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda z, x: x + 2 * (z - x), "but linf eps is"),
        (lambda z, x: x + (z - x) + 1.1e-6 * (z - x).sign(), "but linf eps is"),
        (lambda z, x: torch.where(x == 0, x - 1e-3, z), r"produced pixel values outside"),
        (lambda z, x: z / 0 * 0, "size nan"),
    ],
    ids=["twice", "a little", "box", "nan"],
)
def test_an_attack_that_leaves_its_threat_model_is_found(change, says, patches, pictures):
    class Broken(PgdProtocol):
        def attack(self, model, x, *more):
            return change(super().attack(model, x, *more), x)

    protocol = Broken.create("pgd4", Settings())
    images = torch.from_numpy(pictures.images).float() / 255
    with pytest.raises(AdvssError, match=says):
        evaluate(patches, (images.clamp_min(0.02) * (images > 0.1), pictures.labels), protocol)
