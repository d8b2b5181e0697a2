"""An ONNX file as a torch module, for protocols that need no gradient."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.models.model import Model
from advss_zoo.threat import ThreatModel


class OnnxModule(nn.Module):
    """Images (B,3,H,W) in [0,1] to logits (B,K) without a gradient, on whatever device the images are.

    The buffer `file` holds the sha256 of the file, so that results tell modules of different files apart.
    """

    def __init__(self, model: OnnxModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("file", torch.tensor(list(bytes.fromhex(model.sha256)), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().to("cpu", torch.float32).contiguous().numpy()
        return torch.from_numpy(self.model.logits(images)).to(x.device)


def load(path: Path, device: str | torch.device = "auto") -> Model:
    """Open an ONNX file as a model without gradients; its sha256 is the file's.

    Args:
        device: "auto" is a GPU if onnxruntime can use one; the model's `device` says which it is.

    Raises:
        CheckpointError, UsageError, AdvssError: see `OnnxModel.read`.
    """
    model = OnnxModel.read(path, str(device))
    known = model.metadata
    return Model(
        OnnxModule(model),
        f"{model.name}.onnx" if known else model.name,
        model.sha256,
        classes=known.classes if known else None,
        image_size=model.image_size,
        temperature=known.temperature if known else 1.0,
        value_range=known.value_range if known else None,
        threat=ThreatModel(known.norm, known.eps) if known and known.norm and known.eps else None,
        differentiable=False,
    ).to(model.device)
