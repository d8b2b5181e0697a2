"""A classifier together with what is known about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from advss_zoo.models.modes import to_eval

if TYPE_CHECKING:
    from collections.abc import Callable

    from advss_zoo.models.prediction import Images, Predictions
    from advss_zoo.threat import ThreatModel


class Model(nn.Module):
    """Classify images (B,3,H,W) in [0,1] to logits (B,K), as `network` does; in evaluation mode when it is made.

    Attributes:
        network: what computes; normalisation is inside.
        name: what results call it.
        sha256: of the weights it was read from; None: not known.
        classes: in the order of the logits; None: not known, as with all below.
        image_size: pixels a side of the images it was made for.
        mean, std: of the normalisation inside, one number a channel.
        temperature: softmax(logits / temperature) are the probabilities shown to people; no attack knows it.
        threat: the threat model it was trained for.
        value_range: which values are 0 and 1, of files with more than 8 bits; None: by the images' own.
        folders: the checkpoints of its networks.
        differentiable: can gradients with respect to images be had?
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        sha256: str | None = None,
        *,
        classes: tuple[str, ...] | None = None,
        image_size: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        temperature: float = 1.0,
        threat: ThreatModel | None = None,
        value_range: tuple[float, float] | None = None,
        folders: tuple[Path, ...] = (),
        differentiable: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.sha256, self.folders, self.value_range = name, sha256, folders, value_range
        self.classes, self.image_size, self.mean, self.std = classes, image_size, mean, std
        self.temperature, self.threat, self.differentiable = temperature, threat, differentiable
        self.register_buffer("_anchor", torch.empty(0), persistent=False)  # is where `.to()` has put the model
        to_eval(self)

    def forward(self, x: Tensor) -> Any:
        return self.network(x)

    @property
    def folder(self) -> Path | None:
        """Where the checkpoint lies; None where there is none, or several."""
        return self.folders[0] if len(self.folders) == 1 else None

    @property
    def device(self) -> torch.device:
        return self.get_buffer("_anchor").device

    def predict(
        self, images: Images, top: int = 3, progress: Callable[[int, int], object] | None = None
    ) -> Predictions:
        """Name the most probable classes of images in files, folders, or Pillow; as `advss_zoo.predict`.

        Args:
            progress: called with the images done, and their number.
        """
        from advss_zoo.models import prediction  # Pillow is not needed to compute

        return prediction.predict(prediction.classifier(self), prediction.find(images), top, progress)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network in a `Model`, and in what DataParallel and torch.compile put around one."""
    if isinstance(model, Model):
        return unwrapped(model.network)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return model if compiled is None else unwrapped(compiled)
