"""A model as the content of an ONNX file: images (batch, 3, N, N) in [0,1] to logits (batch, classes).

torch.onnx.export (its torch.export way) makes the graph, normalisation and, for an ensemble, the log of the mean
probability inside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from advss_zoo.deploy.metadata import Metadata, is_name
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.model import Model
from advss_zoo.version import __version__

INPUT, OUTPUT, BATCH = "images", "logits", "batch"
TOLERANCE = 1e-4  # how far logits may be from PyTorch's; of larger ones than 1, the part of the largest


def describe(model: Model) -> Metadata:
    """Make the metadata of a model's file.

    Raises:
        UsageError: it has no gradients, or its classes are not known, or the file cannot take the name of one.
    """
    if model.classes is None or model.image_size is None or not model.differentiable:
        raise UsageError(
            f"{model.name} cannot be exported: it is not a torch module with known classes and image size.",
            "Give them: advss_zoo.Model(module, NAME, classes=..., image_size=N); or export a checkpoint.",
        )
    if unfit := [label for label in model.classes if not is_name(label)]:
        raise UsageError(
            f"Class name {unfit[0]!r} is too long or has control characters.",
            "Rename it in your data, and fine-tune again.",
        )
    return Metadata(
        model.name,
        model.sha256 or weights_sha256(model.network),
        model.classes,
        model.image_size,
        __version__,
        model.threat.norm if model.threat else None,
        model.threat.eps if model.threat else None,
        model.temperature,
        model.value_range,
    )


def to_onnx(network: nn.Module, metadata: Metadata, example: Tensor) -> bytes:
    """Return the content of the file; `example` are images (B,3,N,N), B at least 2."""
    program = torch.onnx.export(
        network,
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


def check_difference(network: nn.Module, exported: OnnxModel, images: Tensor) -> float:
    """Return how far the logits of an ONNX model are from PyTorch's, at most, for images (B,3,N,N).

    Raises:
        AdvssError: it is more than TOLERANCE.
    """
    with torch.no_grad():
        expected = network(images)
    found = float((torch.from_numpy(exported.logits(images.numpy())) - expected).abs().max())
    largest = max(1.0, float(expected.abs().max()))
    if not found / largest <= TOLERANCE:  # written so that NaN and infinity fail
        raise AdvssError(
            f"The ONNX model's logits differ from PyTorch's by {found:.2g} (limit {TOLERANCE * largest:.2g}); "
            "nothing was written."
        )
    return found
