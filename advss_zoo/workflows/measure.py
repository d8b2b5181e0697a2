"""One protocol on one model, into a folder: the look at the test images is noted, and the speed remembered."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.resnetv2 import Network
from advss_zoo.training.cost import remember_evaluation
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.workflows import looks
from advss_zoo.workflows.progress import Progress, Say, ignore


def measure(
    model: Model,
    images: ImageSet,
    protocol: Protocol,
    place: Path,
    *,
    device: str,
    quantize: bool = False,
    save_adversarial: bool = False,
    progress: Progress = ignore,
    say: Say = ignore,
) -> Result:
    """Evaluate a model, which leaves the result in the folder `place`.

    Raises:
        AdvssError: as `evaluation.runner.evaluate`.
    """
    if not (place / RESULT_FILE).exists() and (why := looks.note(model, images, protocol, place)):
        say(f"This look at test images is not noted in {looks.LOOKS}: {why}.")
    with Stopwatch(device) as watch:
        result = evaluate(
            model,
            images,
            protocol,
            out=place,
            device=device,
            progress=partial(progress, protocol.label(), "images"),
            quantize=quantize,
            save_adversarial=save_adversarial,
        )
    if isinstance(network := unwrapped(model), Network):
        side = images.images.shape[-1]
        remember_evaluation(
            network.architecture, side, protocol.label(), images=result.n, seconds=result.seconds, watch=watch
        )
    return result
