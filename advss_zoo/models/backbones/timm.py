"""The models of timm (github.com/huggingface/pytorch-image-models), which comes with the extra `timm`."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from advss_zoo.errors import AdvssError, UsageError, nearest
from advss_zoo.models.architecture import LibraryArchitecture
from advss_zoo.models.network import LibraryTrunk
from advss_zoo.models.pretrained import LibraryOptions, Pretrained, imagenet_classes, reproducible, split

HUB = "hf-hub:"  # begins the name of a repository on the Hub in timm's own layout
BUILT = ("img_size", "drop_rate", "drop_path_rate")  # what a model can be built with


class TimmArchitecture(LibraryArchitecture):
    """A model by its name in timm."""

    apart_from_trunk: ClassVar[tuple[str, ...]] = ("num_classes", "drop_rate", "drop_path_rate")

    family: Literal["timm"] = "timm"
    drop_rate: float = Field(0.0, ge=0, lt=1, description="dropout before the classifier")
    drop_path_rate: float = Field(0.0, ge=0, lt=1, description="stochastic depth")

    def trunk(self) -> LibraryTrunk:
        options = {key: getattr(self, key) for key in ("drop_rate", "drop_path_rate") if getattr(self, key)}
        if self.takes_one_size:
            options["img_size"] = self.img_size
        try:
            model = _timm().create_model(self.model, num_classes=0, **options)
        except (TypeError, ValueError, AssertionError) as error:
            raise UsageError(f"timm cannot build {self.model} with {options}: {error}.") from error
        return LibraryTrunk(model, model.head_hidden_size)

    @property
    def takes_one_size(self) -> bool:
        return bool(_known(self.model).fixed_input_size)


def repository(name: str) -> str:
    """Return ORG/REPO, perhaps with an @REVISION, of the weights on the Hub; empty if they are elsewhere.

    Raises:
        UsageError: there is no such model.
    """
    return name.removeprefix(HUB) if name.startswith(HUB) else str(_known(name).hf_hub_id or "")


def load(name: str, options: LibraryOptions) -> Pretrained:
    """Load a model by what timm calls it, such as resnet18.a1_in1k or hf-hub:ORG/REPO.

    Raises:
        UsageError: there is no such model, or it is none of three colours and square images with a linear classifier.
        AdvssError: timm is not installed.
        Exception: whatever its downloads raise.
    """
    timm, known_as, arguments = _timm(), name, {}
    if name.startswith(HUB):
        _, known_as, arguments = timm.models.load_model_config_from_hf(name.removeprefix(HUB))
    arguments = {key: arguments[key] for key in BUILT if key in arguments}
    arguments |= options.model_dump(include={*BUILT}, exclude_none=True)
    side = arguments.get("img_size")
    if not _known(known_as).fixed_input_size:
        arguments.pop("img_size", None)
    with reproducible():
        model = timm.create_model(name, pretrained=options.pretrained, **arguments)
    facts: dict[str, Any] = model.pretrained_cfg
    channels, height, width = facts["input_size"]
    if channels != 3 or height != width:
        raise UsageError(f"{name} takes {channels} channels and {height}x{width} pixels, expected 3 and a square.")
    count, classifier = int(model.num_classes), str(facts.get("classifier") if model.num_classes else "")
    if classifier not in dict(model.named_modules()):
        raise UsageError(f"{name} does not end in one linear layer, which is not supported.")
    architecture = TimmArchitecture(
        model=facts["architecture"],
        num_classes=count or 10,
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        img_size=side or height,
        **{key: value for key, value in arguments.items() if key != "img_size"},
    )
    return Pretrained(model, architecture, split(model, classifier), _classes(model, facts) if count else ())


def _classes(model: nn.Module, facts: dict[str, Any]) -> tuple[str, ...] | None:
    if facts.get("label_names"):
        return tuple(facts["label_names"])
    return imagenet_classes() if _timm().data.infer_imagenet_subset(model) == "imagenet-1k" else None


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise AdvssError("Models of timm need the package timm.", "pip install 'advss-zoo[timm]'") from error


def _known(name: str) -> Any:
    """What timm knows of a model.

    Raises:
        UsageError: nothing.
    """
    timm = _timm()
    if not timm.is_model(name):
        raise UsageError(f"timm has no model {name!r}{nearest(name, timm.list_models())}.")
    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise UsageError(f"timm has no model {name!r}.", f"Choose from {', '.join(tags)}.") from None
