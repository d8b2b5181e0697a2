"""A model is written as an ONNX file, or nothing is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from deploy import onnx_files
from torch import Tensor

from advss_zoo.deploy.export import check_difference
from advss_zoo.deploy.metadata import Metadata
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.model import Model
from advss_zoo.workflows import export as exporting
from advss_zoo.workflows.export import export
from advss_zoo.zoo.open import open_model


def test_only_what_was_exported_before_is_overwritten(tmp_path: Path) -> None:
    ours, others, text = (tmp_path / name for name in ("ours.onnx", "others.onnx", "text.onnx"))
    assert export("p1f4.mini", onnx_files.write(ours)).path == ours
    onnx_files.write(others, props={})
    text.write_text("notes")
    for path in (others, text):
        with pytest.raises(UsageError, match="was not written by `advss export`"):
            export("p1f4.mini", path)


@pytest.mark.parametrize(("name", "says"), [(".", "is a folder"), ("model.pt", "end in .onnx"), ("m", "end in .onnx")])
def test_a_target_that_is_no_onnx_file_is_refused(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        export("p1f4.mini", tmp_path / name)


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(model: Model, metadata: Metadata, example: Tensor) -> bytes:
        return onnx_files.write(
            tmp_path / "other.onnx", {**metadata.to_props()}, shape=("batch", 3, 32, 32), classes=10
        ).read_bytes()

    target = onnx_files.write(tmp_path / "model.onnx")
    before = target.read_bytes()
    monkeypatch.setattr(exporting, "to_onnx", elsewhere)
    with pytest.raises(AdvssError):
        export("p1f4.mini", target)
    assert target.read_bytes() == before


class Ragged(torch.nn.Module):
    """Of images whose neighbouring pixels differ much a logit is rounding, as of noise in a deep net."""

    def forward(self, x: Tensor) -> Tensor:
        steps = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
        return torch.stack([(1e8 * (steps - 0.2).relu()).sin(), -10 * steps], dim=1)


def test_rounding_on_noise_is_no_difference(tmp_path: Path) -> None:
    net, target = Ragged(), tmp_path / "ragged.onnx"
    assert export(Model(net, "ragged", classes=("a", "b"), image_size=64), target).difference < 1e-6
    with pytest.raises(AdvssError, match="differ"):
        check_difference(net, OnnxModel.read(target), torch.rand(2, 3, 64, 64))


def test_a_module_of_ones_own_is_known_by_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    exported = export(Model(net, "mine", classes=("a", "b"), image_size=8), tmp_path / "mine.onnx")
    assert exported.metadata.sha256 == weights_sha256(net)
    assert open_model(tmp_path / "mine.onnx").classes == ("a", "b")


MISSING = r"needs the package {}, which is not installed\. Run `pip install 'advss-zoo\[onnx\]'`"


def test_without_the_exporters_package_the_sentence_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(AdvssError, match=MISSING.format("onnxscript")):
        export("p1f4.mini", tmp_path / "model.onnx")
