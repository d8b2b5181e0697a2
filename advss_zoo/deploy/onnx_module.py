"""An ONNX file as a torch module, for protocols that need no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.zoo.load import Loaded


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


def load(path: Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> tuple[Loaded, str]:
    """The module of a file and where it computes; the sha256 is the file's.

    Raises:
        CheckpointError, UsageError, AdvssError: see `OnnxModel.read`.
    """
    model = OnnxModel.read(path, device)
    name = f"{model.name}.onnx" if model.metadata else model.name
    classes = model.metadata.classes if model.metadata else None
    module = OnnxModule(model).to(model.device).eval()
    return Loaded(module, name, model.sha256, classes, model.image_size), model.device
