"""`advss predict [MODEL] IMAGE ...`: what is in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advss_zoo.cli.options import MODEL, DeviceOption, JsonOption, examples, pick_device, the_model
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
        typer.Argument(metavar="[MODEL] IMAGE...", help=f"MODEL: {MODEL} Then images, folders of them, or patterns."),
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
    model, images = divided(arguments)
    found = predict.find(images)
    reference = the_model(model)
    classifier = predict.open_classifier(reference, device if reference.kind == "onnx" else pick_device(device))
    predictions: list[Prediction] = []
    with out.progress("Looking at", "images") as progress:
        total = len(found.files) + len(found.broken)
        progress(len(found.broken), total)
        for batch in predict.predict(classifier, found.files, found.broken, top):
            predictions += batch
            progress(len(predictions) + len(found.broken), total)
    _show(classifier, predictions, found.broken, top)


def divided(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The model, or None where the default is meant, and the images that follow.

    Raises:
        UsageError: there are no images.
    """
    from advss_zoo.zoo.reference import means_model

    first, *rest = arguments
    if not means_model(first):
        return None, arguments
    if not rest:
        raise UsageError(f"{first} is a model, and there are no images to look at.", f"advss predict {first} IMAGE")
    return first, rest


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
