"""What makes a robust accuracy meaningless is found and said: randomness, train mode, probabilities, no gradient."""

from __future__ import annotations

import pytest
import torch
from evaluation.helpers import quick
from torch import nn

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.details import cautions
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.ensemble import Ensemble


class Stubborn(nn.Sequential):
    """Stays in train mode."""

    def train(self, mode=True):
        return super().train(True)


class Hiding(nn.Module):
    """Keeps its layers where eval() does not find them."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = list(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Noisy(nn.Sequential):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.rand_like(x))


class Saturated(nn.Sequential):
    """So sure of itself that the gradient of the cross-entropy is 0 wherever it is right."""

    def forward(self, x):
        return 1e6 * super().forward(x)


class Rounded(nn.Sequential):
    def forward(self, x):
        return super().forward((x * 255).round() / 255)


@pytest.mark.parametrize("attack", ["clean", "pgd2", "square"])
@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda net: Noisy(*net), "The model is random, or mixes the images of a batch"),
        (
            lambda net: Stubborn(nn.BatchNorm2d(3), *net).train(),
            r"The model stays in train mode \(Stubborn, BatchNorm2d, Conv2d",
        ),
        (lambda net: Stubborn(*net, nn.Dropout(0.1)).train(), "The model stays in train mode"),
        (
            lambda net: Hiding(nn.BatchNorm2d(3), *net),
            "what eval\\(\\) does not reach, such as modules in a plain list",
        ),
    ],
    ids=["random", "batch norm in train mode", "dropout in train mode", "layers in a list"],
)
def test_models_that_say_something_else_each_time_are_refused(build, says, attack, patches, pictures):
    with pytest.raises(AdvssError, match=says):
        evaluate(build(patches), pictures.first(16), quick(attack))


def test_train_mode_that_changes_nothing_is_fine(patches, pictures):
    expected = evaluate(patches, pictures.first(16), "pgd2")
    assert evaluate(Stubborn(*patches).train(), pictures.first(16), "pgd2").verdicts == expected.verdicts


def test_a_model_that_was_left_in_train_mode_is_measured_in_eval_mode(patches, pictures):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), *patches).eval()
    expected = evaluate(model, pictures.first(16), "pgd2")
    assert evaluate(model.train(), pictures.first(16), "pgd2").verdicts == expected.verdicts
    assert model.training


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "autoattack", "transfer", "ensemble-worst"])
def test_probabilities_are_refused(attack, patches, pictures):
    model = nn.Sequential(patches, nn.Softmax(dim=1))
    with pytest.raises(AdvssError, match=r"returns probabilities: .* looks more robust than it is"):
        evaluate(model, pictures.first(16), quick(attack))


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "apgd-ce"])
def test_a_loss_that_is_flat_wherever_the_model_is_right_is_refused(attack, patches, pictures):
    """Mistakes have a slope, so not every gradient is 0; but no attack can take a right answer away."""
    with pytest.raises(AdvssError, match=r"exactly 0 at all of the \d+ that it gets right of the first 64 images"):
        evaluate(Saturated(*patches), pictures, attack)


def test_a_loss_that_is_flat_everywhere_is_refused(patches, pictures):
    with pytest.raises(AdvssError, match=r"exactly 0 at all of the first 16 images: .*--attack square"):
        evaluate(Rounded(*patches), pictures.first(16), "pgd2")


@pytest.mark.parametrize("attack", ["transfer", "ensemble-worst"])
def test_an_ensemble_without_gradient_is_refused_too(attack, patches, pictures):
    with pytest.raises(AdvssError, match="exactly 0"):
        evaluate(Ensemble([Rounded(*patches), Rounded(*patches)]), pictures.first(16), attack)


def test_where_some_gradients_are_0_the_result_says_how_many(patches, pictures):
    class Partly(nn.Module):
        def forward(self, x):
            dark = x.mean(dim=(1, 2, 3), keepdim=True) < 0.5
            return patches(torch.where(dark, x.detach(), x))

    images = pictures.first(40)
    result = evaluate(Partly(), images, quick("autoattack"))
    share = (torch.from_numpy(images.images).float().div(255).mean(dim=(1, 2, 3)) < 0.5).double().mean().item()
    assert 0 < result.details["zero_gradients"] == share < 1
    assert cautions(result.details)[0].startswith(f"{share:.1%} of the images have a gradient of exactly 0")


def test_a_sound_model_is_told_nothing(patches, pictures):
    assert cautions(evaluate(patches, pictures.first(40), quick("autoattack")).details) == []
