"""Exported checkpoints say what PyTorch says, know what they are, and overwrite nothing that is not theirs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from deploy import onnx_files
from deploy.conftest import Twins
from torch import Tensor

import advss_zoo
from advss_zoo.deploy.export import check_difference, describe
from advss_zoo.deploy.metadata import Metadata
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import sha256_of
from advss_zoo.models.model import Model
from advss_zoo.zoo import sources

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@torch.no_grad()
def expected(twins: Twins, images: Tensor) -> np.ndarray:
    logits: np.ndarray = twins.model(images).numpy()
    return logits


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_logits_are_pytorchs_on_real_images(twins: Twins, real: tuple[Tensor, Tensor], batch: int) -> None:
    images = real[0][:batch]
    found = OnnxModel.read(twins.exported.path).logits(images.numpy())
    np.testing.assert_allclose(found, expected(twins, images), rtol=0, atol=1e-4)


def test_an_ensembles_outputs_are_logarithms_of_mean_probabilities(
    ensemble: Twins, real: tuple[Tensor, Tensor]
) -> None:
    found = OnnxModel.read(ensemble.exported.path).logits(real[0].numpy())
    members = [advss_zoo.load_model(name) for name in ("p1f4.mini", "selfie-p3f4.mini")]
    with torch.no_grad():
        mean = sum(member(real[0]).softmax(dim=1) for member in members) / 2
    np.testing.assert_allclose(np.exp(found), mean.numpy(), rtol=0, atol=1e-5)


def test_verdicts_on_adversarial_images_are_identical(
    twins: Twins, real: tuple[Tensor, Tensor], adversarial: Tensor
) -> None:
    wanted = expected(twins, adversarial).argmax(axis=1)
    assert 0 < (wanted == real[1].numpy()).sum() < (expected(twins, real[0]).argmax(axis=1) == real[1].numpy()).sum()
    found = OnnxModel.read(twins.exported.path).logits(adversarial.numpy()).argmax(axis=1)
    np.testing.assert_array_equal(found, wanted)


def test_the_file_says_what_it_is(single: Twins, ensemble: Twins) -> None:
    known = OnnxModel.read(single.exported.path).metadata
    checkpoint = sources.fetch("p1f4.mini").path
    assert known == single.exported.metadata
    assert known == Metadata(
        "p1f4.mini",
        sha256_of(checkpoint / "model.safetensors"),
        CIFAR,
        32,
        advss_zoo.__version__,
        "linf",
        8 / 255,
    )
    other = OnnxModel.read(ensemble.exported.path).metadata
    assert other is not None
    assert (other.name, other.eps) == ("p1f4.mini+selfie-p3f4.mini", 8 / 255)
    assert single.exported.sha256 == sha256_of(single.exported.path)
    assert single.exported.bytes == single.exported.path.stat().st_size


def test_any_onnx_library_can_use_it(single: Twins, real: tuple[Tensor, Tensor]) -> None:
    """As the documentation of others has it, without a line of ours."""
    model = onnx.load(single.exported.path)
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    assert [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim] == ["batch", 3, 32, 32]
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["batch", 10]
    session = onnxruntime.InferenceSession(single.exported.path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": real[0].numpy()})
    np.testing.assert_allclose(found, expected(single, real[0]), rtol=0, atol=1e-4)


def test_nothing_in_it_tells_of_this_machine(twins: Twins) -> None:
    content = twins.exported.path.read_bytes()
    assert not re.search(rb"\.py\b|site-packages|stack_trace", content)
    assert os.fsencode(Path(advss_zoo.__file__).parent) not in content


def test_it_runs_where_there_is_no_torch(single: Twins, real: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", real[0].numpy())
    program = f"""
import sys
sys.modules["torch"] = None  # whoever imports it fails
import numpy as np
from pathlib import Path
from advss_zoo.deploy.onnx_model import OnnxModel
model = OnnxModel.read(Path({str(single.exported.path)!r}))
np.save("logits.npy", model.logits(np.load("images.npy")))
print(model.metadata.classes[0])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(advss_zoo.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "airplane\n", "")
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected(single, real[0]), rtol=0, atol=1e-4)


def test_logits_that_differ_are_not_written(single: Twins) -> None:
    exported = OnnxModel.read(single.exported.path)
    with pytest.raises(AdvssError, match="differ from PyTorch's by"):
        check_difference(advss_zoo.load_model("p1f3.mini"), exported, torch.rand(2, 3, 32, 32))


def test_rounding_grows_with_logits(tmp_path: Path) -> None:
    """A step of 32-bit numbers is 0.06 at a million, so the limit is a part of the largest logit."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    net[1].weight.data *= 1e6
    model = Model(net, "large", classes=tuple("abcd"), image_size=8)
    exported = advss_zoo.export(model, tmp_path / "large.onnx")
    assert 1e-4 < exported.difference < 10
    file, images = OnnxModel.read(exported.path), torch.rand(8, 3, 8, 8)
    net[1].bias.data += 1e-3 * net(images).abs().max()
    with pytest.raises(AdvssError, match=r"differ from PyTorch's by .* \(limit"):
        check_difference(net, file, images)


@pytest.mark.parametrize(
    ("name", "threat"), [("p1f4", ("linf", 8 / 255)), ("p1f3", (None, None)), ("p1f4+p1f3", (None, None))]
)
def test_what_it_withstands_is_what_all_members_were_trained_for(
    name: str, threat: tuple[str | None, float | None]
) -> None:
    known = describe(advss_zoo.load_model(name))
    assert (known.norm, known.eps) == threat


def test_a_class_that_a_file_cannot_name_is_refused_before_any_work() -> None:
    model = Model(torch.nn.Identity(), "mine", classes=("chat\u00a0noir", "cat\u202e"), image_size=32)
    with pytest.raises(UsageError, match=r"Class name 'cat\\u202e' is too long or has control characters") as refused:
        describe(model)
    assert refused.value.hint is not None
    assert "Rename it" in refused.value.hint


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="mine cannot be exported"):
        describe(Model(torch.nn.Identity(), "mine"))


def test_without_onnxruntime_the_sentence_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_files.write(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AdvssError, match=r"needs the package onnxruntime.*`pip install 'advss-zoo\[onnx\]'`"):
        OnnxModel.read(path)
