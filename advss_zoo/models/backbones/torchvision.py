"""The classifiers of torchvision."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from advss_zoo.errors import UsageError, nearest
from advss_zoo.models.architecture import LibraryArchitecture
from advss_zoo.models.network import LibraryTrunk
from advss_zoo.models.pretrained import LibraryOptions, Pretrained, reproducible, split

SIZED = {"vit": "image_size", "maxvit": "input_size"}  # what tells models of one size only that size


class TorchvisionArchitecture(LibraryArchitecture):
    """A classifier by its name in torchvision."""

    family: Literal["torchvision"] = "torchvision"

    def trunk(self) -> LibraryTrunk:
        try:
            model = _create(self.model, self.img_size)
        except NotImplementedError:  # RegNets read numbers back, which on the device "meta" nobody can
            with torch.device("cpu"):
                model = _create(self.model, self.img_size)
        name, classifier = _classifier(model, self.model)
        model.set_submodule(name, nn.Identity())
        return LibraryTrunk(model, classifier.in_features)

    @property
    def takes_one_size(self) -> bool:
        return _sized(self.model) is not None


def load(name: str, options: LibraryOptions) -> Pretrained:
    """Load a classifier by what torchvision calls it, such as resnet18 or resnet50:IMAGENET1K_V2.

    Raises:
        UsageError: there is no such model, no such weights, or no single linear classifier.
        Exception: whatever its downloads raise.
    """
    from torchvision import models

    name, _, wanted = name.partition(":")
    if options.drop_rate is not None or options.drop_path_rate is not None:
        raise UsageError("torchvision's models take no drop_rate and no drop_path_rate.", "Leave them out.")
    _check_name(name)
    weights = models.get_model_weights(name)
    if wanted and wanted not in weights.__members__:
        raise UsageError(f"{name} has no weights {wanted!r}.", f"Choose from {', '.join(weights.__members__)}.")
    chosen: Any = weights[wanted] if wanted else weights.DEFAULT
    transforms = chosen.transforms()
    side = options.img_size or transforms.crop_size[0]
    with reproducible():
        model = _create(name, side)
    last, _layer = _classifier(model, name)
    if options.pretrained:
        model.load_state_dict(chosen.get_state_dict(progress=False, check_hash=True, weights_only=True))
    architecture = TorchvisionArchitecture(
        model=name, num_classes=1000, mean=tuple(transforms.mean), std=tuple(transforms.std), img_size=side
    )
    return Pretrained(model, architecture, split(model, last), tuple(chosen.meta["categories"]))


def _create(name: str, side: int) -> nn.Module:
    from torchvision import models

    _check_name(name)
    key = _sized(name)
    options: dict[str, Any] = {key: (side, side) if key == "input_size" else side} if key else {}
    try:
        return models.get_model(name, weights=None, **options)
    except (ValueError, AssertionError) as error:
        raise UsageError(f"torchvision cannot build {name} for images of {side} pixels: {error}.") from error


def _check_name(name: str) -> None:
    from torchvision import models

    if name not in (known := models.list_models(models)):
        raise UsageError(f"torchvision has no classifier {name!r}{nearest(name, known)}.")


def _sized(name: str) -> str | None:
    return SIZED.get(name.partition("_")[0])


def _classifier(model: nn.Module, called: str) -> tuple[str, nn.Linear]:
    """The last linear layer, and its name.

    Raises:
        UsageError: the model has none, or more than one output.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found or getattr(model, "aux_logits", False):
        raise UsageError(f"{called} does not end in one linear layer, which is not supported.")
    return found[-1]
