"""An ONNX file as a torch module, for protocols that need no gradient."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import ModelWarning
from advss_zoo.models.model import Model
from advss_zoo.threat import ThreatModel


class OnnxModule(nn.Module):
    """Images (B,C,H,W) in [0,1] to the file's output without a gradient, on whatever device the images are.

    Several outputs are a dict by name; `models.adapted` finds the logits. `said` is what is done to the images.

    The buffer `file` holds the sha256 of the file, so that results tell modules of different files apart.
    """

    def __init__(self, model: OnnxModel) -> None:
        super().__init__()
        self.model, self.channels = model, model.intake.channels
        self.said = tuple(f"{model.name} {sentence}." for sentence in model.intake.said)
        self.register_buffer("file", torch.tensor(list(bytes.fromhex(model.sha256)), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        images = x.detach().to("cpu", torch.float32).contiguous().numpy()
        found = {name: torch.from_numpy(each).to(x.device) for name, each in self.model.outputs(images).items()}
        return next(iter(found.values())) if len(self.model.names) == len(found) == 1 else found


def load(path: Path, device: str | torch.device = "auto", output: str | None = None) -> Model:
    """Open an ONNX file as a model without gradients; its sha256 is the file's.

    Args:
        device: "auto" is a GPU if onnxruntime can use one; the model's `device` says which it is.
        output: the name of the output that is the logits; None: the one that can be.

    Raises:
        CheckpointError, UsageError, AdvssError: see `OnnxModel.read`.
    """
    model = OnnxModel.read(path, str(device), output)
    known, module = model.metadata, OnnxModule(model)
    for sentence in module.said:
        warnings.warn(sentence, ModelWarning, stacklevel=1)
    return Model(
        module,
        f"{model.name}.onnx" if known else model.name,
        model.sha256,
        classes=known.classes if known else None,
        image_size=model.image_size,
        temperature=known.temperature if known else 1.0,
        value_range=known.value_range if known else None,
        threat=ThreatModel(known.norm, known.eps) if known and known.norm and known.eps else None,
        differentiable=False,
    ).to(model.device)
