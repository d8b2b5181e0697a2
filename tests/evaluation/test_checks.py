"""What makes a robust accuracy meaningless is found and said: randomness, train mode, probabilities, no gradient."""

from __future__ import annotations

import pytest
import torch
from evaluation.helpers import quick
from torch import nn

from advss_zoo import load_model
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import AdvssError, ModelWarning
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.architecture import IMAGENET_MEAN, IMAGENET_STD
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


@pytest.mark.parametrize("attack", ["clean", "pgd2", "square", "autoattack"])
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


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "square", "autoattack"])
def test_probabilities_are_attacked_as_the_logits_that_they_were_made_of(attack, patches, pictures):
    model = nn.Sequential(patches, nn.Softmax(dim=1))
    with pytest.warns(ModelWarning, match="The model returns probabilities; their logarithm is taken"):
        found = evaluate(model, pictures.first(16), quick(attack))
    expected = evaluate(patches, pictures.first(16), quick(attack))
    assert (found.ta, found.ra) == (expected.ta, expected.ra)
    assert found.model.adapted == ("The model returns probabilities; their logarithm is taken.",)


@pytest.mark.parametrize("attack", ["pgd2", "autoattack", "transfer", "ensemble-worst"])
def test_so_are_those_of_a_member_of_an_ensemble(attack, patches, pictures):
    ensemble = Ensemble([patches, nn.Sequential(patches, nn.Softmax(dim=1))], ["one", "other"])
    with pytest.warns(ModelWarning, match="other, a member of the ensemble, returns probabilities"):
        found = evaluate(ensemble, pictures.first(16), quick(attack))
    expected = evaluate(Ensemble([patches, patches], ["one", "other"]), pictures.first(16), quick(attack))
    assert (found.ta, found.ra) == (expected.ta, expected.ra)


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "apgd-ce"])
def test_a_loss_that_is_flat_wherever_the_model_is_right_is_refused(attack, patches, pictures):
    """Mistakes have a slope, so not every gradient is 0; but no attack can take a right answer away."""
    with pytest.raises(AdvssError, match=r"exactly 0 for all of the \d+ correctly classified of the first 64 images"):
        evaluate(Saturated(*patches), pictures, attack)


def test_a_loss_that_is_flat_everywhere_is_refused(patches, pictures):
    with pytest.raises(AdvssError, match=r"exactly 0 for all of the first 16 images, .*--attack square"):
        evaluate(Rounded(*patches), pictures.first(16), "pgd2")


@pytest.mark.parametrize("attack", ["transfer", "ensemble-worst"])
def test_an_ensemble_without_gradient_is_refused_too(attack, patches, pictures):
    with pytest.raises(AdvssError, match="exactly 0"):
        evaluate(Ensemble([Rounded(*patches), Rounded(*patches)]), pictures.first(16), attack)


class Partly(nn.Module):
    """Hides its gradient at dark images."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(torch.where(is_dark(x), x.detach(), x))


def is_dark(x):
    return x.mean(dim=(1, 2, 3), keepdim=True) < 0.5


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "autoattack"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_where_some_gradients_are_0_the_result_says_how_many(attack, norm, patches, pictures):
    """pgdN counts them among the images that it attacks, those that are classified correctly."""
    images = pictures.first(40)
    result = evaluate(Partly(patches), images, quick(attack, norm=norm))
    x = torch.from_numpy(images.images).float() / 255
    counted = is_dark(x).flatten()
    if attack != "autoattack":
        counted &= patches(x).argmax(dim=1) == torch.from_numpy(images.labels)
    assert 0 < result.details.zero_gradients == counted.double().mean().item() < 1
    found = result.warnings
    assert found[0].startswith(f"{counted.sum()} of 40 images have a gradient of exactly 0")
    assert "RA overestimated" in found[-1]


class Misleading(nn.Module):
    """Gives the gradient of another model at dark images, towards which the loss falls."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        backwards = 2 * x.detach() - x  # the same image; its gradient points the other way
        return self.model(torch.where(is_dark(x), backwards, x))


@pytest.mark.parametrize("attack", ["pgd3", "pgd3-any"])
def test_where_the_loss_does_not_rise_the_result_says_so(attack, patches, pictures):
    images = pictures.first(40)
    result = evaluate(Misleading(patches), images, parse(attack, eps=1 / 255, step_size=0.5 / 255))
    x = torch.from_numpy(images.images).float() / 255
    misled = is_dark(x).flatten() & (patches(x).argmax(dim=1) == torch.from_numpy(images.labels))
    assert 0 < misled.double().mean().item() == result.details.no_rise
    assert result.details.zero_gradients == 0
    found = result.warnings
    assert found[0].startswith(f"The attack steps did not increase the loss on {misled.sum()} of 40 images")
    assert "RA overestimated" in found[1]


@pytest.mark.parametrize("build", [Saturated, Rounded])
def test_a_model_without_gradients_under_autoattack_is_said(build, patches, pictures):
    """Square needs none, so the attack is carried out; the result says what became of the others."""
    result = evaluate(build(*patches), pictures.first(16), quick("autoattack"))
    assert result.details.zero_gradients >= result.ta > 0
    assert "gradient of exactly 0" in result.warnings[0]


def test_the_evidence_of_a_pass_without_a_correct_image_is_there(patches, pictures, tmp_path):
    """Two passes, in the second of which nothing is attacked."""
    x = torch.from_numpy(pictures.images[:72]).float() / 255
    y = patches(x).argmax(dim=1)
    y[64:] = (y[64:] + 1) % 10
    result = evaluate(patches, (x, y), "pgd2", out=tmp_path)
    assert (result.ta, result.details.to_dict()) == (64 / 72, {"zero_gradients": 0.0, "no_rise": 0.0})
    assert check(tmp_path / "result.json") == result


@pytest.mark.parametrize("attack", ["pgd2", "pgd2-any", "autoattack"])
def test_a_sound_model_is_told_nothing(attack, patches, pictures):
    assert evaluate(patches, pictures.first(40), quick(attack)).warnings == []


class TestOtherInputs:
    """Models of others are given images in another form than [0,1]: where that shows, it is said."""

    @pytest.fixture
    def right(self):
        return load_model("p1f4.mini", device="cpu")

    @pytest.mark.parametrize(
        ("form", "says"),
        [
            (lambda x: x / 255, "values from 0 to 255"),
            (lambda x: (x + 1) / 2, "values from -1 to 1"),
            (lambda x: x * x.new_tensor(IMAGENET_STD)[:, None, None] + x.new_tensor(IMAGENET_MEAN)[:, None, None],
             "ImageNet's mean subtracted, divided by its deviation"),
            (lambda x: x.flip(1) / 255, "values from 0 to 255"),
        ],
    )  # fmt: skip
    def test_the_form_is_named(self, form, says, right):
        given = Outer(form, right)
        with pytest.warns(ModelWarning, match=rf"% of the first 64 images .* if it is given {says}\. Models must take"):
            evaluate(given, load_subset().first(64), parse("clean"))

    @pytest.mark.parametrize("name", ["p1f4.mini", "permuted"])
    def test_a_model_that_takes_what_it_should_is_told_nothing(self, name, right, recwarn):
        """Also where it gets nearly all wrong."""
        model = right if name == "p1f4.mini" else nn.Sequential(right, Permuted())
        result = evaluate(model, load_subset().first(64), parse("clean"))
        assert (result.ta < 0.5) == (name == "permuted")
        assert not recwarn.list

    def test_a_model_that_sees_nothing_is_told_nothing(self, recwarn):
        """In another form it says the other class, which most images are of."""

        class Blind(nn.Module):
            def forward(self, x):
                bright = x.amax(dim=(1, 2, 3)) - 2
                return torch.stack([-bright, bright], dim=1)

        labels = torch.tensor([0] * 16 + [1] * 24)
        assert evaluate(Blind(), (torch.rand(40, 3, 8, 8), labels), parse("clean")).ta == 0.4
        assert not recwarn.list

    def test_what_fails_on_another_form_is_measured_all_the_same(self, right, recwarn):
        class Strict(nn.Module):
            def forward(self, x):
                if x.min() < 0 or x.max() > 1:
                    raise ValueError("not in [0,1]")
                return right(x.flip(2))

        evaluate(Strict(), load_subset().first(64), parse("clean"))
        assert not recwarn.list


class Outer(nn.Module):
    def __init__(self, form, inner):
        super().__init__()
        self.form, self.inner = form, inner

    def forward(self, x):
        return self.inner(self.form(x))


class Permuted(nn.Module):
    def forward(self, logits):
        return logits.roll(1, dims=1)
