"""A classifier or an ensemble as an ONNX file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advss_zoo.data.pixels import in_unit_range
from advss_zoo.data.subset import load_subset
from advss_zoo.deploy.export import check_difference, describe, to_onnx
from advss_zoo.deploy.metadata import Metadata
from advss_zoo.deploy.onnx_model import OnnxModel, require
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import write_bytes
from advss_zoo.models.adapted import adapt
from advss_zoo.models.model import Model
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import ONNX, Reference


@dataclass(frozen=True)
class Exported:
    """A file that was written, and the largest difference of a logit from PyTorch's on photographs."""

    path: Path
    sha256: str
    bytes: int
    metadata: Metadata
    difference: float


def export(model: Model | Reference | str | Path, to: str | Path) -> Exported:
    """Write a model as an ONNX file, once it has been compared with PyTorch on eight photographs.

    The file takes any number of images (B,3,N,N) in [0,1] at once and returns logits (B,K), of an ensemble the log of
    the mean probability; normalisation is inside.

    Args:
        model: an open model, or a reference to one as `load_model` takes it.
        to: a path that ends in .onnx; only a file that was exported before is overwritten.

    Raises:
        UsageError: there is no such model, or the file cannot take this name, or that of a class.
        CheckpointError: the weights cannot be had.
        DataError: the photographs in this installation are missing or damaged.
        AdvssError: the packages of the extra `onnx` are missing; ONNX does not agree with PyTorch; the disk is full.
    """
    target = Path(to)
    _check_target(target)
    require("onnxscript")
    opened = model if isinstance(model, Model) else open_model(model)
    metadata = describe(opened)
    images = _photographs(metadata.image_size)
    network = adapt(opened, images, len(metadata.classes))
    content = to_onnx(network, metadata, images)
    difference = check_difference(network, OnnxModel.parse(content, str(target), "cpu"), images)
    write_bytes(target, content)
    return Exported(target, hashlib.sha256(content).hexdigest(), len(content), metadata, difference)


def _photographs(side: int) -> Tensor:
    """Eight images (8,3,N,N). On noise, which no net was trained on, rounding alone may change logits by hundreds."""
    images = in_unit_range(torch.from_numpy(load_subset().images[:8]))
    return interpolate(images, side, mode="bilinear", antialias=True)


def _check_target(target: Path) -> None:
    """
    Raises:
        UsageError: no ONNX file may be written there.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", f"Name a file in it: {target / 'model.onnx'}")
    if target.suffix.lower() != ONNX:
        raise UsageError(f"{target} must end in {ONNX}.", "For example model.onnx.")
    if target.exists() and not _is_ours(target):
        raise UsageError(f"{target} exists and was not written by `advss export`.", "Choose another path.")


def _is_ours(path: Path) -> bool:
    try:
        return OnnxModel.read(path, "cpu").metadata is not None
    except CheckpointError:
        return False
