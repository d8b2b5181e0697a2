"""A checkpoint as an ONNX file: images (batch, 3, N, N) in [0,1] to logits (batch, classes), any number at once.

torch.onnx.export (its torch.export way) makes the graph, normalisation and, for an ensemble, the log of the mean
probability inside. What is written has been compared with the PyTorch model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import advss_zoo
from advss_zoo.deploy import torch_model
from advss_zoo.deploy.metadata import Metadata, is_name
from advss_zoo.deploy.onnx_model import SUFFIX, OnnxModel, require
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import write_atomically
from advss_zoo.zoo import checkpoint
from advss_zoo.zoo.load import Loaded

INPUT, OUTPUT, BATCH = "images", "logits", "batch"
TOLERANCE = 1e-4  # how far logits may be from PyTorch's


@dataclass(frozen=True)
class Exported:
    """A file that was written, and the largest difference of a logit from PyTorch's."""

    path: Path
    sha256: str
    bytes: int
    metadata: Metadata
    difference: float


def export(reference: str, target: Path) -> Exported:
    """Write the model that `torch_model.find` knows by `reference` as an ONNX file.

    Raises:
        UsageError: there is no such model, or the file cannot take this name, or that of a class.
        CheckpointError: the weights cannot be had.
        AdvssError: the packages of the extra `onnx` are missing; ONNX does not agree with PyTorch; the disk is full.
    """
    check_target(target)
    require("onnxscript")
    loaded = torch_model.find(reference)
    metadata = describe(loaded, torch_model.folders(reference))
    example = _example(metadata.image_size)
    content = to_onnx(loaded, metadata, example)
    difference = _difference(loaded, OnnxModel.parse(content, str(target), "cpu"), example)
    write_atomically(target, lambda file: file.write(content))
    return Exported(target, hashlib.sha256(content).hexdigest(), len(content), metadata, difference)


def check_target(target: Path) -> None:
    """May an ONNX file be written there? Only one that was exported before is overwritten.

    Raises:
        UsageError: it may not.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", f"Name a file in it: --to {target / 'model.onnx'}")
    if target.suffix.lower() != SUFFIX:
        raise UsageError(f"{target} is no name of an ONNX file.", f"It has to end in {SUFFIX}: --to model.onnx")
    if target.exists() and not _is_ours(target):
        raise UsageError(f"{target} exists, and `advss export` did not write it.", "Choose another path.")


def _is_ours(path: Path) -> bool:
    try:
        return OnnxModel.read(path, "cpu").metadata is not None
    except CheckpointError:
        return False


def describe(loaded: Loaded, folders: list[Path]) -> Metadata:
    """
    Args:
        folders: of the checkpoints that the model is made of; what all were trained to withstand, it is for.

    Raises:
        UsageError: the file cannot take the name of a class.
    """
    assert loaded.classes is not None
    assert loaded.image_size is not None
    if unfit := [label for label in loaded.classes if not is_name(label)]:
        raise UsageError(
            f"The class {unfit[0]!r} has control characters or too long a name for a file that others read.",
            "Rename it in your data, and fine-tune again.",
        )
    threats = {_threat(folder) for folder in folders}
    norm, eps = threats.pop() if len(threats) == 1 else (None, None)
    return Metadata(
        loaded.full_name,
        loaded.sha256,
        loaded.classes,
        loaded.image_size,
        advss_zoo.__version__,
        norm,
        eps,
        loaded.temperature,
    )


def _threat(folder: Path) -> tuple[str | None, float | None]:
    """Norm and eps that a checkpoint was trained for, as far as that is known."""
    made = checkpoint.read_config(folder).provenance
    return (made.norm, made.eps) if made else (None, None)


def to_onnx(loaded: Loaded, metadata: Metadata, example: Tensor) -> bytes:
    """The content of the file; `example` are images (B,3,N,N), B at least 2."""
    program = torch.onnx.export(
        loaded.model,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: BATCH},),
        verbose=False,
    )
    assert program is not None
    _forget_origin(program.model)
    program.model.metadata_props.update(metadata.to_props())
    content: bytes = program.model_proto.SerializeToString(deterministic=True)
    return content


def _forget_origin(model: Any) -> None:
    """Every node carries a stack trace with the paths of this machine, which are nobody's business."""
    graph = model.graph
    for part in (model, graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        part.metadata_props.clear()
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()


def _difference(loaded: Loaded, exported: OnnxModel, images: Tensor) -> float:
    """
    Raises:
        AdvssError: it is larger than it may be.
    """
    with torch.no_grad():
        expected = loaded.model(images)
    found = float((torch.from_numpy(exported.logits(images.numpy())) - expected).abs().max())
    if not found <= TOLERANCE:  # written so that NaN fails
        raise AdvssError(f"The ONNX model's logits differ from PyTorch's by {found:.2g}: nothing was written.")
    return found


def _example(side: int) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
