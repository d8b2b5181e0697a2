"""`advss predict [MODEL] IMAGE ...`: what is in images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advss_zoo.cli.options import Device, DeviceOption, JsonOption, examples, pick_device, say_which
from advss_zoo.cli.output import out
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.deploy.predict import Classifier, Prediction

EXAMPLES = examples(
    "advss predict photo.jpg",
    "advss predict p1f4 photos/ 'more/**/*.png' --json",
    "advss predict mydir-jigsaw-p3f4 photos/ --top 1",
    "advss predict model.onnx photos/",
)


def command(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] IMAGE...",
            help="MODEL: a checkpoint of the zoo, a run in ./runs, A+B, hf://ORG/REPO, the folder of a checkpoint or a "
            "run, or model.onnx; left out: the zoo's default. Then images, folders of them, or patterns.",
        ),
    ],
    top: Annotated[int, typer.Option(metavar="K", min=1, help="How many classes to name for each image.")] = 3,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Say what is in images, with probabilities in percent.

    Images of any size and mode are brought to the model's: the middle square, resized. Files that cannot be read are
    named and left out; exit status 1 if that is all of them. An ONNX file runs without torch.
    """
    from advss_zoo.deploy import predict

    out.json = json
    model, images = _divided(arguments)
    found = predict.find(images)
    classifier = _classifier(model, device)
    predictions: list[Prediction] = []
    with out.progress("Looking at", "images") as progress:
        total = len(found.files) + len(found.broken)
        progress(len(found.broken), total)
        for batch in predict.predict(classifier, found.files, found.broken, top):
            predictions += batch
            progress(len(predictions) + len(found.broken), total)
    _show(classifier, predictions, found.broken, top)


def _divided(arguments: list[str]) -> tuple[str, list[str]]:
    """The model, and the images that follow.

    Raises:
        UsageError: there are no images.
    """
    from advss_zoo.zoo import index

    first, *rest = arguments
    if not _is_model(first):
        return index.default_name(), arguments
    if not rest:
        raise UsageError(f"{first} is a model, and there are no images to look at.", f"advss predict {first} IMAGE")
    return first, rest


def _is_model(argument: str) -> bool:
    """Is it a name of the zoo, an address, an ONNX file, a checkpoint's or a run's folder, or meant as one of these?"""
    from advss_zoo.data.folder.names import is_image
    from advss_zoo.deploy.onnx_model import is_onnx
    from advss_zoo.zoo import CONFIG, WEIGHTS, index, names, runs, sources

    if is_onnx(argument) or sources.is_address(argument) or index.knows(argument):
        return True
    if os.path.lexists(argument):
        path = Path(argument)
        return path.name == WEIGHTS or (path / CONFIG).is_file() or runs.is_run(path)
    try:
        names.members(argument)
    except UsageError:
        return False
    return not is_image(argument)


def _classifier(model: str, device: Device) -> Classifier:
    from advss_zoo.deploy.onnx_model import is_onnx
    from advss_zoo.zoo import reference

    if is_onnx(model):
        return _from_onnx(Path(model), device)
    reference.as_path(model)  # what there is none of is refused before torch is imported
    say_which(model)
    where = pick_device(device)
    from advss_zoo.deploy import torch_model

    return torch_model.classifier(torch_model.find(model, where), where)


def _from_onnx(path: Path, device: Device) -> Classifier:
    from advss_zoo.deploy.onnx_model import OnnxModel
    from advss_zoo.deploy.predict import Classifier

    model = OnnxModel.read(path, device)
    if model.metadata is None:
        raise AdvssError(f"{path} does not say which classes its outputs are.", "Make it with `advss export`.")
    known = model.metadata
    return Classifier(
        known.name, known.sha256, known.classes, known.image_size, model.device, model.logits, known.temperature
    )


def _show(classifier: Classifier, predictions: list[Prediction], broken: dict[Path, str], top: int) -> None:
    """
    Raises:
        AdvssError: there are no predictions.
    """
    from advss_zoo.data.folder.names import printable

    skipped = [(printable(str(path)), reason) for path, reason in broken.items()]
    named = [(printable(str(each.path)), _named(classifier, each)) for each in predictions]
    rows = [
        {
            "image": path,
            "label": labels[0]["label"],
            "%": percent(labels[0]["probability"]),
            **({"next": _listed(labels[1:])} if top > 1 else {}),
        }
        for path, labels in named
    ]
    document = {
        "model": {
            "name": classifier.name,
            "sha256": classifier.sha256,
            "device": classifier.device,
            "temperature": classifier.temperature,
        },
        "images": [{"path": path, "predictions": labels} for path, labels in named],
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
    }
    out.table(rows, document=document)
    for path, reason in skipped:
        out.hint(f"Skipped {path}: {reason}")
    if not predictions:
        raise AdvssError("None of these files can be read.")
    out.hint(f"By {classifier.name}, on the {'GPU' if classifier.device == 'cuda' else 'CPU'}.")


def _named(classifier: Classifier, prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {"label": classifier.classes[number], "probability": probability}
        for number, probability in zip(prediction.classes, prediction.probabilities, strict=True)
    ]


def _listed(labels: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['label']} {percent(each['probability'])}" for each in labels)
