"""`advss predict [MODEL] IMAGE ...`: what is in images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, examples, the_model
from advss_zoo.cli.output import out
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.models.prediction import Prediction, Predictions

EXAMPLES = examples(
    "advss predict photo.jpg",
    "advss predict p1f4 photos/ 'more/**/*.png' --json",
    "advss predict mydir-jigsaw-p3f4 photos/ --top 1",
    "advss predict model.onnx photos/",
)


def command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[MODEL] IMAGE...", help="A model, then images, folders of images, or patterns."),
    ],
    top: Annotated[int, typer.Option(metavar="K", min=1, help="Number of classes to print per image.")] = 3,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Classify images, with probabilities in percent.

    MODEL is optional, and as in `advss eval`. Images of any size and mode are centre-cropped and resized. Unreadable
    files are named and skipped; exit status 1 if all are. An ONNX file runs without torch.
    """
    from advss_zoo.workflows.predict import predict

    out.json = json
    model, images = divided(arguments)
    reference = the_model(model)
    if reference.kind != "onnx":
        import_torch()
    with out.steps() as steps:
        predictions = predict(reference, images, top, device=device, progress=steps)
    _show(predictions)


def divided(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return the model, or None where the default is meant, and the images that follow.

    Raises:
        UsageError: there are no images.
    """
    from advss_zoo.zoo.reference import means_model

    first, *rest = arguments
    if not means_model(first):
        return None, arguments
    if not rest:
        raise UsageError(f"{first} is a model, but images are missing.", f"advss predict {first} IMAGE")
    return first, rest


def _show(predictions: Predictions) -> None:
    """
    Raises:
        AdvssError: there are no predictions.
    """
    from advss_zoo.data.folder.names import printable
    from advss_zoo.data.folder.walking import describe

    classifier = predictions.classifier
    skipped = [(printable(str(path)), reason) for path, reason in predictions.skipped.items()]
    named = [(printable(str(each.path)), each) for each in predictions]
    document = {
        "model": {
            "name": classifier.name,
            "sha256": classifier.sha256,
            "device": classifier.device,
            "temperature": classifier.temperature,
        },
        "images": [{"path": path, "predictions": _labels(each)} for path, each in named],
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
        "passed_over": {kind: hidden._asdict() for kind, hidden in predictions.passed_over.items()},
    }
    out.table([_row(*each) for each in named], document=document)
    for path, reason in skipped:
        out.hint(f"Skipped {path}: {reason}")
    if hidden := describe(predictions.passed_over):
        out.hint(hidden)
    if not predictions:
        raise AdvssError("All of these files are unreadable.")
    out.hint(f"Model: {classifier.name}, on the {'CPU' if classifier.device == 'cpu' else 'GPU'}.")


def _labels(prediction: Prediction) -> list[dict[str, Any]]:
    pairs = zip(prediction.labels, prediction.probabilities, strict=True)
    return [{"label": label, "probability": probability} for label, probability in pairs]


def _row(path: str, prediction: Prediction) -> dict[str, str]:
    shown = [(each["label"], percent(each["probability"])) for each in _labels(prediction)]
    following = {"next": ", ".join(map(" ".join, shown[1:]))} if len(shown) > 1 else {}
    return {"image": path, "label": shown[0][0], "%": shown[0][1], **following}
