"""ONNX files under evaluation: the same verdicts as PyTorch's, without gradients."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deploy import onnx_files
from deploy.conftest import Twins
from onnx import TensorProto
from torch import Tensor

import advss_zoo
from advss_zoo.deploy import onnx_module
from advss_zoo.errors import AdvssError, ModelWarning, UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.protocols.autoattack import BlackBox
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.adapted import adapt
from advss_zoo.models.identity import weights_sha256


def square() -> BlackBox:
    """With a few queries an image instead of thousands, and more room for them."""
    found = protocols.parse("square", eps=16 / 255)
    assert isinstance(found, BlackBox)
    return replace(found, queries=10)


def verdicts(model: torch.nn.Module, real: tuple[Tensor, Tensor], protocol: protocols.Protocol, out: Path) -> Verdicts:
    images, labels = real
    evaluate(model, (images.numpy()[:16], labels.numpy()[:16]), protocol, out=out)
    return Verdicts.read(out / "verdicts.npz")


def test_verdicts_are_pytorchs(single: Twins, real: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    model = onnx_module.load(single.exported.path)
    assert (model.device.type, model.differentiable) == ("cpu", False)
    found = verdicts(model, real, square(), tmp_path / "onnx")
    wanted = verdicts(single.model, real, square(), tmp_path / "torch")
    assert found.attacked_prediction is not None
    np.testing.assert_array_equal(found.clean_prediction, wanted.clean_prediction)
    np.testing.assert_array_equal(found.attacked_prediction, wanted.attacked_prediction)
    assert not np.array_equal(found.attacked_prediction, found.clean_prediction)


def test_what_needs_a_gradient_is_refused_in_python_too(single: Twins, real: tuple[Tensor, Tensor]) -> None:
    model = onnx_module.load(single.exported.path)
    with pytest.raises(UsageError, match=r"pgd2 needs gradients, which p1f4\.mini\.onnx does not have"):
        evaluate(model, (real[0].numpy(), real[1].numpy()), "pgd2")
    with pytest.raises(AdvssError, match="has no gradient"):
        evaluate(model.network, (real[0].numpy(), real[1].numpy()), "pgd2")


def test_it_is_known_by_its_file(tmp_path: Path) -> None:
    one = onnx_module.load(onnx_files.write(tmp_path / "one.onnx"))
    other = onnx_module.load(onnx_files.write(tmp_path / "other.onnx", {}))
    assert (one.name, one.classes, one.image_size) == ("colours.tiny.onnx", onnx_files.CLASSES, 8)
    assert (other.name, other.classes, other.image_size) == ("other.onnx", None, 8)
    assert one.sha256 != other.sha256
    assert weights_sha256(one) != weights_sha256(other)


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_without_images_there_are_no_rows(batch: Any, tmp_path: Path) -> None:
    """What is left where Square has broken all, and the margins of all are exactly 0."""
    module = onnx_module.load(onnx_files.others(tmp_path / "one.onnx", shape=(batch, 3, 8, 8)))
    assert module(torch.zeros(0, 3, 8, 8)).shape == (0, 3)


def test_images_of_other_types_are_taken_as_they_come(tmp_path: Path) -> None:
    module = onnx_module.load(onnx_files.write(tmp_path / "one.onnx"))
    images = torch.rand(4, 8, 8, 3, dtype=torch.float64).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(images.requires_grad_()), 10 * images.detach().mean(dim=(2, 3)).float())


# Files of others: the mean colour of an image times 10, whatever they take and return.

X = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
EXPECTED = 10 * X.mean(dim=(2, 3))
TAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "batch of one": ({"shape": (1, 3, 8, 8)}, "has a fixed batch of 1, to which images are padded and cut"),
    "batch of four": ({"shape": (4, 3, 8, 8)}, "has a fixed batch of 4, to which images are padded and cut"),
    "channels last": ({"shape": ("n", 8, 8, 3)}, "takes images with the channels last"),
    "channels last, any size": ({"shape": ("n", "h", "w", 3)}, "takes images with the channels last"),
    "8 bit": ({"element": TensorProto.UINT8}, "takes 8-bit images"),
    "8 bit, channels last, batch of two": (
        {"element": TensorProto.UINT8, "shape": (2, 8, 8, 3)},
        "has a fixed batch of 2|takes 8-bit images|with the channels last",
    ),
    "half precision": ({"element": TensorProto.FLOAT16}, "takes float16"),
    "probabilities": ({"ends": {"prob": "Softmax"}}, "returns probabilities; their logarithm is taken"),
    "log-probabilities": ({"ends": {"out": "LogSoftmax"}}, ""),
    "logits beside probabilities": ({"ends": {"prob": "Softmax", "logits": "Identity"}}, "of which 'logits' is used"),
    "class numbers beside scores": ({"ends": {"label": "ArgMax", "s": "Identity"}}, "of which 's' is used"),
}


@pytest.mark.parametrize("form", TAKEN)
def test_files_of_others_are_taken_where_it_is_certain_what_they_mean(form: str, tmp_path: Path) -> None:
    options, says = TAKEN[form]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = onnx_module.load(onnx_files.others(tmp_path / "a.onnx", **options))
        found = adapt(model, X)(X)
    assert torch.allclose(found.log_softmax(1), EXPECTED.log_softmax(1), atol=0.03 if "8 bit" in form else 5e-3)
    assert all(re.search(says, str(each.message)) for each in told)
    assert bool(told) == bool(says)
    result = evaluate(model, (X, EXPECTED.argmax(1)), square())
    assert (result.ta, bool(result.model.adapted)) == (1, bool(says))


def test_how_the_work_is_cut_changes_nothing(tmp_path: Path) -> None:
    """A file that ends in Softmax is attacked like its logits, a fixed batch like any."""
    images, labels = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.zeros(20).long()
    plain = evaluate(onnx_module.load(onnx_files.others(tmp_path / "a.onnx")), (images, labels), square())
    for options in ({"ends": {"p": "Softmax"}}, {"shape": (3, 3, 8, 8)}):
        model = onnx_module.load(onnx_files.others(tmp_path / "b.onnx", **options))
        found = evaluate(model, (images, labels), square())
        assert (found.ta, found.ra) == (plain.ta, plain.ra)
    assert plain.ta > 0


ONE = [[30.0], [-30.0], [0.0]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ends": {"one": "Identity", "two": "Neg"}}, r"'one': \(8, 3\), 'two': \(8, 3\).* choose with --output NAME"),
        ({"ends": {"a": "Softmax", "b": "Identity"}}, r"'a': \(8, 3\), 'b': \(8, 3\)"),
        ({"ends": {"label": "ArgMax"}}, r"expected logits \(8, classes\)"),
        ({"ends": {"p": "Sigmoid"}, "weights": ONE}, "one number between 0 and 1 per image"),
    ],
)
def test_and_refused_in_a_sentence_where_not(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    model = onnx_module.load(onnx_files.others(tmp_path / "a.onnx", **options))
    with pytest.raises(AdvssError, match=says):
        evaluate(model, (X, EXPECTED.argmax(1)), "clean")


def test_one_output_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    path = onnx_files.others(tmp_path / "a.onnx", ends={"one": "Identity", "two": "Neg"})
    assert torch.allclose(advss_zoo.load_model(path, output="one")(X), EXPECTED, atol=1e-5)
    assert torch.allclose(advss_zoo.load_model(path, output="two")(X), -EXPECTED / 10, atol=1e-5)
    with pytest.raises(UsageError, match=r"has no output 'three'\. Choose from one, two"):
        advss_zoo.load_model(path, output="three")
    with pytest.raises(UsageError, match="An output can be chosen of an ONNX file only, got p1f4"):
        advss_zoo.load_model("p1f4", output="one")


def test_one_logit_grey_images_and_other_sizes(tmp_path: Path) -> None:
    model = onnx_module.load(onnx_files.others(tmp_path / "one.onnx", weights=ONE))
    with pytest.warns(ModelWarning, match="returns one logit"):
        found = adapt(model, X)(X).softmax(1)[:, 1]
    assert torch.allclose(found, (30 * (X[:, 0] - X[:, 1]).mean(dim=(1, 2))).sigmoid(), atol=1e-5)
    grey = onnx_module.load(onnx_files.others(tmp_path / "grey.onnx", shape=("n", 1, 8, 8), weights=[[1.0, -1.0]]))
    with pytest.warns(ModelWarning, match="takes grey images; colours are converted"):
        assert adapt(grey, X)(X).shape == (5, 2)
    small = X[:, :, :4, :4]
    with pytest.warns(ModelWarning, match="takes images of 8 pixels; those of 4 are resized"):
        resized = adapt(onnx_module.load(onnx_files.others(tmp_path / "a.onnx")), small)(small)
    assert torch.allclose(resized, 10 * small.mean(dim=(2, 3)), atol=1)
