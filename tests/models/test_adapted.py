"""Models of others: whatever form their output has, the same logits; what is not certain is a sentence."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import advss_zoo
from advss_zoo.errors import AdvssError, ModelWarning
from advss_zoo.models.adapted import adapt, said_of
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.model import Model, unwrapped

X = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 3, 0, 1])


class Output(OrderedDict):
    """As Hugging Face's ModelOutput: a map whose entries are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


@dataclass
class Record:
    features: Tensor
    logits: Tensor


Pair = namedtuple("Pair", ["logits", "aux_logits"])  # as torchvision's InceptionOutputs


class Changed(nn.Module):
    """Returns what a function makes of the logits of a network."""

    def __init__(self, network: nn.Module, change: Any) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.network(x))


def net(outputs: int = 4, channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, outputs)
    return nn.Sequential(*layers).eval()


FORMS = {
    "tuple": (lambda z: (z,), "returns several outputs, of which 0 is used"),
    "tuple with loss": (lambda z: (z.sum(), z), "of which 1 is used"),
    "list with maps": (lambda z: [z, z[:, :, None, None].expand(-1, -1, 2, 2)], "of which 0 is used"),
    "named tuple": (lambda z: Pair(z, z), "of which 'logits' is used"),
    "dict": (lambda z: {"scores": z}, "of which 'scores' is used"),
    "dict with classes": (lambda z: {"label": z.argmax(1), "out": z}, "of which 'out' is used"),
    "ModelOutput": (lambda z: Output(loss=None, logits=z, hidden=(z, z)), "of which 'logits' is used"),
    "dataclass": (lambda z: Record(z[:, :2], z), "of which 'logits' is used"),
    "float16": (lambda z: z.half(), "returns float16, which is made float32"),
    "bfloat16 in a dict": (lambda z: {"a": z.bfloat16()}, "returns bfloat16, which is made float32"),
    "float64": (lambda z: z.double(), "returns float64, which is made float32"),
    "probabilities": (lambda z: z.softmax(1), "returns probabilities; their logarithm is taken"),
    "probabilities in a tuple": (lambda z: (z.softmax(1), z[0]), "returns probabilities; their logarithm is taken"),
    "float64 probabilities": (lambda z: z.double().softmax(1), "float64, which is made|returns probabilities; their"),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_output_are_the_same_logits(form: str) -> None:
    change, says = FORMS[form]
    with pytest.warns(ModelWarning, match=says):
        network = adapt(Changed(net(), change), X)
    rounded = 2e-2 if "float16" in form else 1e-5
    assert torch.allclose(network(X).log_softmax(1).float(), net()(X).log_softmax(1), atol=rounded)
    assert network(X).dtype == torch.float32
    assert len(network(X[:1])) == 1


@pytest.mark.parametrize("form", FORMS)
def test_attacks_find_what_they_find_of_logits(form: str) -> None:
    found = advss_zoo.attacks.pgd(Changed(net(), FORMS[form][0]), X, Y, eps=0.1, steps=2)
    expected = advss_zoo.attacks.pgd(net(), X, Y, eps=0.1, steps=2)
    assert (found != expected).float().mean() < (0.1 if "float16" in form else 0.01)


@pytest.mark.parametrize("network", [net(), net().double(), Changed(net(), lambda z: z.log_softmax(1))], ids=repr)
def test_what_returns_logits_is_left_as_it_is(network: nn.Module, recwarn: pytest.WarningsRecorder) -> None:
    x = X.to(next(network.parameters()).dtype)
    assert adapt(network, x) is network
    assert not said_of(network)
    assert not recwarn.list


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)], ids=str)
def test_one_logit_is_two_classes(shape: tuple[int, ...]) -> None:
    with torch.no_grad():
        margin = net(1)(X)[:, 0]
        middle = margin.median()
    model = Changed(net(1), lambda z: 50 * (z - middle).reshape(shape))
    with pytest.warns(ModelWarning, match="returns one logit, taken as that of class 1 against class 0"):
        logits = adapt(model, X)(X)
    assert torch.allclose(logits.softmax(1)[:, 1], (50 * (margin - middle)).sigmoid(), atol=1e-6)
    labels = (margin > middle).long()
    assert advss_zoo.evaluate(model, (X, labels), "pgd2").ta == 1
    assert (advss_zoo.attacks.apgd(model, X, labels, eps=0.01, steps=3) - X).abs().max() <= 0.01 + 1e-6


@pytest.mark.parametrize("change", [torch.sigmoid, lambda z: z.sigmoid()[:, 0], lambda z: {"p": z.sigmoid()}])
def test_one_number_that_may_be_a_probability_is_refused(change: Any) -> None:
    with pytest.raises(AdvssError, match=r"one number between 0 and 1 per image, .* for a probability p torch\.stack"):
        adapt(Changed(net(1), change), X)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda z: (z, z[:, :2]), r"tuple \(0: \(8, 4\), 1: \(8, 2\)\) for 8 images, .*return self\.model\(x\)\[0\]"),
        (lambda z: {"head": z, "aux": z}, r"dict \('head': \(8, 4\), 'aux': \(8, 4\)\).*\['head'\]"),
        (lambda z: {"boxes": z[0]}, r"dict \('boxes': \(4,\)\) for 8 images"),
        (lambda z: (), "returned tuple for 8 images"),
        (lambda z: None, "returned NoneType for 8 images"),
        (lambda z: z.argmax(1), r"returned shape \(8,\) for 8 images, expected logits"),
        (lambda z: z[:, :, None, None], r"returned shape \(8, 4, 1, 1\)"),
        (lambda z: z[:3], r"returned shape \(3, 4\)"),
    ],
)
def test_what_is_not_certain_is_a_sentence(change: Any, says: str) -> None:
    model = Changed(net(), change)
    with pytest.raises(AdvssError, match=says):
        adapt(model, X)
    for use in (lambda: advss_zoo.evaluate(model, (X, Y), "clean"), lambda: advss_zoo.attacks.fgsm(model, X, Y)):
        with pytest.raises(AdvssError, match=says):
            use()


@pytest.mark.parametrize("change", [torch.sigmoid, lambda z: {"p": z.sigmoid().double()}, lambda z: z.clamp(0, 1)])
def test_numbers_of_each_class_between_0_and_1_are_a_doubt_that_is_said(change: Any) -> None:
    with pytest.warns(ModelWarning, match="between 0 and 1 that do not sum to 1; if they are sigmoids, RA may"):
        found = adapt(Changed(net(), change), X)(X)
    values = change(net()(X))
    assert torch.equal(found, (values["p"].float() if isinstance(values, dict) else values))


def test_outputs_that_are_all_alike_are_no_doubt(recwarn: pytest.WarningsRecorder) -> None:
    """A head that begins with zeros."""
    adapt(Changed(net(), torch.zeros_like), X)
    assert not recwarn.list


def test_the_number_of_classes_decides_between_several_outputs() -> None:
    model = Changed(net(), lambda z: {"features": z[:, :2], "out": z})
    with pytest.raises(AdvssError, match="expected logits"):
        adapt(model, X)
    with pytest.warns(ModelWarning, match="of which 'out' is used"):
        assert torch.equal(adapt(model, X, 4)(X), net()(X))


class Normalising(nn.Module):
    """As many people write it."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.network, self.change = net(), change

    def forward(self, x: Tensor) -> Any:
        return self.network(self.change(x))


@pytest.mark.parametrize("change", [lambda x: x.sub_(0.5).div_(0.2), lambda x: x.clamp_(0.1, 0.9)])
def test_a_model_that_changes_its_input_is_given_copies(change: Any) -> None:
    model, x = Normalising(change), X.clone()
    with pytest.warns(ModelWarning, match="changes its input in place; it is given copies"):
        found = advss_zoo.evaluate(model, (X, Y), "pgd2")
    pure = Normalising(lambda x: change(x.clone()))
    assert found.ra == advss_zoo.evaluate(pure, (X, Y), "pgd2").ra
    attacked = advss_zoo.attacks.pgd(model, x, Y, steps=2)
    assert torch.equal(attacked, advss_zoo.attacks.pgd(pure, X, Y, steps=2))
    assert torch.equal(x, X)


def test_models_of_other_precisions_are_taken() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        with pytest.warns(ModelWarning, match=f"computes in {dtype}".replace("torch.", "")):
            found = adapt(net().to(dtype), X)(X)
        assert torch.allclose(found.float(), net()(X), atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_models_on_another_device_are_taken() -> None:
    with pytest.warns(ModelWarning, match="is on cuda:0; images are moved there"):
        found = adapt(net().cuda(), X)(X)
    assert torch.allclose(found, net()(X), atol=1e-3)
    assert advss_zoo.evaluate(net().cuda(), (X, Y), "pgd2").device.startswith("cuda")
    assert advss_zoo.attacks.fgsm(net().cuda(), X, Y).device == X.device


def test_models_of_other_channels_and_sizes_are_taken() -> None:
    with pytest.warns(ModelWarning, match="takes grey images; colours are converted"):
        grey = adapt(net(channels=1), X)
    luma = 0.299 * X[:, :1] + 0.587 * X[:, 1:2] + 0.114 * X[:, 2:]
    assert torch.allclose(grey(X), net(channels=1)(luma), atol=1e-6)
    with pytest.warns(ModelWarning, match="takes images of three channels; grey is repeated"):
        assert torch.allclose(adapt(net(), luma)(luma), net()(luma.expand(-1, 3, -1, -1)), atol=1e-6)
    with pytest.warns(ModelWarning, match="takes images of 8 pixels; those of 4 are resized"):
        resized = adapt(Model(net(), "net", image_size=8), X[:, :, :4, :4])
    assert resized(X[:, :, :4, :4]).shape == (6, 4)
    assert advss_zoo.evaluate(Model(net(), "net", image_size=8), (X[:, :, :4, :4], Y), "pgd2").ra is not None
    with pytest.raises(
        AdvssError, match=r"fails on images of shape \(8, 3, 4, 4\): .*\. If it takes .* return advss_zoo\.Model"
    ):
        adapt(net(), X[:, :, :4, :4])


def test_what_torch_puts_around_a_network_is_taken_off() -> None:
    network = net()
    for wrapped in (nn.DataParallel(network), torch.compile(network), Model(nn.DataParallel(network), "mine")):
        assert unwrapped(wrapped) is network
        assert adapt(wrapped, X) is network
        result = advss_zoo.evaluate(wrapped, (X, Y), "pgd2")
        assert result.model.weights_sha256 == advss_zoo.evaluate(network, (X, Y), "clean").model.weights_sha256


def test_members_of_an_ensemble_are_adapted_each() -> None:
    same = Ensemble([net(), net()])
    assert adapt(same, X) is same
    with pytest.warns(ModelWarning, match="b, a member of the ensemble, returns probabilities"):
        mixed = adapt(Ensemble([net(), Changed(net(), lambda z: z.softmax(1))], ["a", "b"]), X)
    assert torch.allclose(mixed(X), same(X), atol=1e-5)
    assert said_of(mixed) == ("b, a member of the ensemble, returns probabilities; their logarithm is taken.",)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), r"1\.weight of the model has no shape yet"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 8), nn.Flatten()), r"0\.weight of the model has no shape yet"),
        (lambda: net().to("meta"), r"0\.weight of the model has no values \(it is on the device meta\)"),
        (lambda: nn.Sequential(net(), nn.BatchNorm1d(4, affine=False, device="meta")), r"1\.running_mean .* no values"),
    ],
)
def test_weights_that_are_not_there_are_a_sentence(build: Any, says: str) -> None:
    for use in (lambda: advss_zoo.evaluate(build(), (X, Y), "clean"), lambda: advss_zoo.attacks.fgsm(build(), X, Y)):
        with pytest.raises(AdvssError, match=says):
            use()
