"""ONNX files under evaluation: the same verdicts as PyTorch's, without gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from deploy import onnx_files
from deploy.conftest import Twins
from torch import Tensor

from advss_zoo.deploy import onnx_module
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.protocols.autoattack import BlackBox
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
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


def test_images_of_other_types_are_taken_as_they_come(tmp_path: Path) -> None:
    module = onnx_module.load(onnx_files.write(tmp_path / "one.onnx"))
    images = torch.rand(4, 8, 8, 3, dtype=torch.float64).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(images.requires_grad_()), 10 * images.detach().mean(dim=(2, 3)).float())
