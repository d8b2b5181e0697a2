"""One protocol on one model, as every workflow measures it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.images import Images, as_images
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import unwrapped
from advss_zoo.models.resnetv2 import Network
from advss_zoo.training.cost import remember_evaluation
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.workflows import looks
from advss_zoo.workflows.progress import Progress, Say, ignore


def measure(
    model: nn.Module,
    images: ImageSet | Images,
    protocol: Protocol,
    place: Path | None,
    *,
    device: str,
    quantize: bool = False,
    save_adversarial: bool = False,
    progress: Progress = ignore,
    say: Say = ignore,
    command: str | None = None,
) -> Result:
    """Evaluate a model; with a `place`, the result is left in that folder, a look is noted, and the speed remembered.

    Raises:
        AdvssError: as `evaluation.runner.evaluate`.
    """
    if place and not (place / RESULT_FILE).exists() and (why := looks.note(model, images, protocol, place)):
        say(f"This look at test images is not noted in {looks.LOOKS}: {why}.")
    with Stopwatch(device) as watch:
        result = evaluate(
            model,
            images,
            protocol,
            out=place,
            device=device,
            progress=partial(progress, protocol.label(), "images"),
            command=command,
            quantize=quantize,
            save_adversarial=save_adversarial,
        )
    if place and isinstance(network := unwrapped(model), Network):
        side = as_images(images).pixels.shape[-1]
        remember_evaluation(
            network.architecture, side, protocol.label(), images=result.n, seconds=result.seconds, watch=watch
        )
    return result
