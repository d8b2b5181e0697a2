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
from advss_zoo.deploy.metadata import Metadata, is_name
from advss_zoo.deploy.onnx_model import OnnxModel, require
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import write_atomically
from advss_zoo.models.model import Model
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import ONNX, Reference

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


def export(model: Model | Reference | str | Path, target: Path) -> Exported:
    """Write a model as an ONNX file.

    Args:
        model: one that was opened, or a reference to one (see `zoo.reference`).

    Raises:
        UsageError: there is no such model, or the file cannot take this name, or that of a class.
        CheckpointError: the weights cannot be had.
        AdvssError: the packages of the extra `onnx` are missing; ONNX does not agree with PyTorch; the disk is full.
    """
    check_target(target)
    require("onnxscript")
    opened = model if isinstance(model, Model) else open_model(model)
    metadata = describe(opened)
    example = _example(metadata.image_size)
    content = to_onnx(opened, metadata, example)
    difference = check_difference(opened, OnnxModel.parse(content, str(target), "cpu"), example)
    write_atomically(target, lambda file: file.write(content))
    return Exported(target, hashlib.sha256(content).hexdigest(), len(content), metadata, difference)


def check_target(target: Path) -> None:
    """May an ONNX file be written there? Only one that was exported before is overwritten.

    Raises:
        UsageError: it may not.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", f"Name a file in it: --to {target / 'model.onnx'}")
    if target.suffix.lower() != ONNX:
        raise UsageError(f"{target} is not the name of an ONNX file.", f"It has to end in {ONNX}: --to model.onnx")
    if target.exists() and not _is_ours(target):
        raise UsageError(f"{target} exists, and `advss export` did not write it.", "Choose another path.")


def _is_ours(path: Path) -> bool:
    try:
        return OnnxModel.read(path, "cpu").metadata is not None
    except CheckpointError:
        return False


def describe(model: Model) -> Metadata:
    """Say of a model what its file will.

    Raises:
        UsageError: it has no gradients, or its classes are not known, or the file cannot take the name of one.
    """
    if model.classes is None or model.image_size is None or not model.differentiable:
        raise UsageError(
            f"{model.name} cannot be exported: it is not a torch module with known classes and image size.",
            "Export a checkpoint: a NAME of the zoo, a run or a folder.",
        )
    if unfit := [label for label in model.classes if not is_name(label)]:
        raise UsageError(
            f"The class {unfit[0]!r} has control characters or too long a name for a file that others read.",
            "Rename it in your data, and fine-tune again.",
        )
    return Metadata(
        model.name,
        str(model.sha256),
        model.classes,
        model.image_size,
        advss_zoo.__version__,
        model.threat.norm if model.threat else None,
        model.threat.eps if model.threat else None,
        model.temperature,
    )


def to_onnx(model: Model, metadata: Metadata, example: Tensor) -> bytes:
    """The content of the file; `example` are images (B,3,N,N), B at least 2."""
    program = torch.onnx.export(
        model.network,
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


def check_difference(model: Model, exported: OnnxModel, images: Tensor) -> float:
    """Return how far the logits of an ONNX model are from PyTorch's, at most, for images (B,3,N,N).

    Raises:
        AdvssError: it is more than TOLERANCE.
    """
    with torch.no_grad():
        expected = model(images)
    found = float((torch.from_numpy(exported.logits(images.numpy())) - expected).abs().max())
    if not found <= TOLERANCE:  # written so that NaN fails
        raise AdvssError(f"The ONNX model's logits differ from PyTorch's by {found:.2g}: nothing was written.")
    return found


def _example(side: int) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
