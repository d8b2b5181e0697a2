"""What is in images. An ONNX file predicts without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.errors import AdvssError
from advss_zoo.models import prediction
from advss_zoo.models.prediction import Classifier, Images, Predictions
from advss_zoo.progress import Progress, ignore
from advss_zoo.zoo.reference import Reference, parse_reference

if TYPE_CHECKING:
    from advss_zoo.models.model import Model


def predict(
    model: Model | Reference | str | Path,
    images: Images,
    top: int = 3,
    *,
    device: str = "auto",
    progress: Progress = ignore,
) -> Predictions:
    """Name the most probable classes of images of any size and mode: of each the middle square, resized.

    Args:
        model: an open model, or a reference to one as `load_model` takes it.
        images: a file, a folder (all images in it, however deep), a pattern such as "photos/*.jpg", an image that is
            open in Pillow, or several of these.
        top: how many classes to name for each image.
        device: where a reference is opened; "auto" is a GPU if there is one.
        progress: called with "Predicting", "images", the images done, their number, and an empty note.

    Returns:
        A list of one prediction an image, in order: `path`, `labels` and `probabilities`, the most probable first.
        Its `skipped` has the files that cannot be read, with the reason, its `passed_over` how many images are in what
        systems leave in folders.

    Raises:
        UsageError: the reference means no model, or there are no such images.
        CheckpointError: the weights cannot be had.
        AdvssError: the model does not say which classes its outputs are, or fails, or gives NaN.
    """

    def told(done: int, total: int) -> None:
        progress("Predicting", "images", done, total, "")

    sources = prediction.find(images)
    return prediction.predict(_classifier(model, device), sources, top, told)


def _classifier(model: Model | Reference | str | Path, device: str) -> Classifier:
    if isinstance(model, Reference | str | Path):
        model = parse_reference(model)
        if model.kind == "onnx" and model.path:
            return _from_onnx(OnnxModel.read(model.path, device, model.output))
    from advss_zoo.models.model import Model
    from advss_zoo.zoo.open import open_model

    return prediction.classifier(model if isinstance(model, Model) else open_model(model, device))


def _from_onnx(model: OnnxModel) -> Classifier:
    known = model.metadata
    if known is None:
        raise AdvssError(
            f"{model.name} has no class names.",
            "Write it with `advss export`; or in Python open it with load_model and set model.classes.",
        )
    return Classifier(
        known.name,
        known.sha256,
        known.classes,
        known.image_size,
        model.device,
        model.logits,
        known.temperature,
        known.value_range,
    )
