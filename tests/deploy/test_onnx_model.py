"""ONNX files that are none, that are others' and that lie; and where they are computed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from deploy import onnx_files
from deploy.onnx_files import PROPS
from onnx import TensorProto

from advss_zoo.deploy import onnx_model
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, CheckpointError, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_it_computes(path: Path) -> None:
    model = OnnxModel.read(onnx_files.write(path))
    images = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    np.testing.assert_allclose(model.logits(images), 10 * images.mean(axis=(2, 3)), rtol=1e-5)
    assert (model.name, model.image_size, model.device) == ("colours.tiny", 8, "cpu")


NOISE = np.random.default_rng(0).bytes(5_000)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04", NOISE], ids=["empty", "text", "zip", "noise"])
def test_what_is_no_onnx_file_is_a_sentence(content: bytes, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(content[:5_000])
    with pytest.raises(CheckpointError, match=r"onnxruntime cannot run .*: \w"):
        OnnxModel.read(path)
    assert capfd.readouterr() == ("", "")


def test_half_a_file_is_a_sentence(path: Path) -> None:
    whole = onnx_files.write(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="onnxruntime cannot run"):
        OnnxModel.read(path)


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no where\.onnx does not exist\. Export a model to it: advss export NAME --to '/"
    ):
        OnnxModel.read(tmp_path / "no where.onnx")
    with pytest.raises(AdvssError, match="Is a directory"):
        OnnxModel.read(tmp_path)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"inputs": 2}, "images1 tensor.float. of shape .batch, 3, 8, 8., expected one input of images"),
        ({"shape": (2**20, 3, 8, 8)}, "at most 1024 at once"),
        ({"shape": ("batch", 4, 8, 8), "classes": 4}, "expected one input of images"),
        ({"shape": ("batch", 3, 8, 9)}, "expected one input of images"),
        ({"shape": ("batch", 3, 2**40, 2**40)}, "expected one input of images"),
        ({"shape": ("batch", 3, 64)}, "expected one input of images"),
        ({"element": TensorProto.INT64}, "onnxruntime cannot run|expected one input of images"),
        ({"outputs": 2}, "returns logits0 .* logits1 .*, expected one float output"),
        (
            {"element": TensorProto.DOUBLE},
            "onnxruntime cannot run .*: Could not find an implementation|expected one float",
        ),
    ],
)
def test_what_takes_or_returns_something_else_is_refused(shape: dict[str, Any], says: str, path: Path) -> None:
    with pytest.raises(CheckpointError, match=says):
        OnnxModel.read(onnx_files.write(path, **shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda model: setattr(model, "ir_version", 99),
            r"IR version: 99, max supported IR version: \d+\. Upgrade onn",
        ),
        (
            lambda model: setattr(model.opset_import[0], "version", 99),
            r"ai\.onnx is till opset \d+\. Upgrade onnxruntime",
        ),
        (lambda model: setattr(model.graph.node[0], "op_type", "Sumo"), r"No Op registered for Sumo"),
    ],
)
def test_why_a_newer_file_does_not_run_is_said_whole(change: Any, says: str, path: Path) -> None:
    model = onnx_files.graph()
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=says) as refused:
        OnnxModel.read(path)
    assert "onnxruntime_src" not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"classes": '["red", "green"]'}, "declares 2 classes, but has 3 outputs"),
        ({"image_size": "16"}, "declares images of 16 pixels, but takes 8"),
        ({"classes": "red"}, "cannot be trusted"),
        ({"name": "\x1b[2J"}, "cannot be trusted"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(changed: dict[str, str], says: str, path: Path) -> None:
    with pytest.raises(CheckpointError, match=says) as refused:
        OnnxModel.read(onnx_files.write(path, PROPS | changed))
    assert refused.value.message.isprintable()


def test_what_is_no_text_is_refused(path: Path) -> None:
    whole = onnx_files.write(path).read_bytes()
    path.write_bytes(whole.replace(b"colours.tiny", b"colours.\xff\xff\xff\xff"))
    with pytest.raises(CheckpointError, match="is not valid UTF-8"):
        OnnxModel.read(path)


def test_more_than_a_model_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "MOST_BYTES", 100)
    with pytest.raises(AdvssError, match="exceeds the limit of 100 bytes"):
        OnnxModel.read(onnx_files.write(path))


def test_a_file_without_our_metadata_is_anothers(path: Path) -> None:
    model = OnnxModel.read(onnx_files.write(path, {"classes": "whatever"}, shape=("n", 3, "h", "w"), classes="k"))
    assert (model.name, model.metadata, model.image_size) == ("model.onnx", None, None)
    assert model.logits(np.ones((2, 3, 5, 5), dtype=np.float32)).shape == (2, 3)


def test_outputs_that_metadata_does_not_know_are_found_when_it_runs(path: Path) -> None:
    props, shape = PROPS | {"classes": '["red", "green"]'}, ("batch", "channels", 8, 8)
    model = OnnxModel.read(onnx_files.write(path, props, shape=shape, classes="classes"))
    with pytest.raises(AdvssError, match=r"returned shape \(1, 3\) for 1 images, expected logits \(1, 2\)"):
        model.logits(np.ones((1, 3, 8, 8), dtype=np.float32))


def test_images_of_another_size_are_a_sentence(path: Path) -> None:
    with pytest.raises(AdvssError, match=r"fails on images of shape \(1, 3, 9, 9\): \w"):
        OnnxModel.read(onnx_files.write(path)).logits(np.ones((1, 3, 9, 9), dtype=np.float32))


def test_no_other_file_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where onnxruntime would look for it: the sha256 of such a model would say nothing."""
    monkeypatch.chdir(path.parent)
    with pytest.raises(CheckpointError, match="Export the weights inside the file"):
        OnnxModel.read(onnx_files.with_weights_elsewhere(path))


def test_a_gpu_that_is_not_there_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "_has_driver", lambda: False)
    assert OnnxModel.read(onnx_files.write(path)).device == "cpu"
    with pytest.raises(UsageError, match="onnxruntime cannot use a GPU"):
        OnnxModel.read(path, "cuda")
    with pytest.raises(UsageError, match="unknown device 'mps'; choose from auto, cpu, cuda and cuda:N"):
        OnnxModel.read(path, "mps")


@pytest.mark.parametrize("works", [True, False])
def test_the_device_is_what_the_session_has_and_not_what_was_asked_for(
    works: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver, and onnxruntime built for CUDA, are no GPU yet."""
    real, asked = onnxruntime.InferenceSession, list[dict[str, str]]()

    def session(content: bytes, options: Any, providers: list[Any], **more: Any) -> Any:
        found = real(content, options, providers=["CPUExecutionProvider"], **more)
        names = [name if isinstance(name, str) else name[0] for name in providers]
        asked.extend(settings for _, settings in providers[:-1])
        shown = names if works else ["CPUExecutionProvider"]
        return SimpleNamespace(
            get_providers=lambda: shown,
            **{name: getattr(found, name) for name in ("run", "get_inputs", "get_outputs", "get_modelmeta")},
        )

    monkeypatch.setattr(onnx_model, "_has_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so"), raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    onnx_files.write(path)
    assert OnnxModel.read(path, "cpu").device == "cpu"
    assert OnnxModel.read(path, "auto").device == ("cuda" if works else "cpu")
    if works:
        assert OnnxModel.read(path, "cuda:1").device == "cuda:1"
        assert asked[-1] == {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "device_id": "1"}
    if not works:
        with pytest.raises(UsageError, match="onnxruntime cannot use a GPU"):
            OnnxModel.read(path, "cuda")
