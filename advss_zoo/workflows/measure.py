"""One protocol on one model, as every workflow measures it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from torch import nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.images import Images, as_images
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.network import Network
from advss_zoo.progress import Progress, Say, ignore
from advss_zoo.training.cost import remember_evaluation
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.zoo.runs import RUNS

LOOKS = RUNS / "test-evaluations.jsonl"  # a choice made by looking at test images would show there


def measure(
    model: nn.Module,
    images: ImageSet | Images,
    protocol: Protocol,
    place: Path | None,
    *,
    device: str,
    quantize: bool = False,
    save_adversarial: bool = False,
    eot: int | None = None,
    batch_size: int | None = None,
    progress: Progress = ignore,
    say: Say = ignore,
    command: str | None = None,
) -> Result:
    """Evaluate a model; with a `place`, the result is left in that folder, a look is noted, and the speed remembered.

    Raises:
        AdvssError: as `evaluation.runner.evaluate`.
    """
    if place and not (place / RESULT_FILE).exists() and (why := note(model, images, protocol, place)):
        say(f"This use of test images could not be recorded in {LOOKS}: {why}.")
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
            eot=eot,
            batch_size=batch_size,
        )
    if place and isinstance(network := unwrapped(model), Network):
        side = as_images(images).pixels.shape[-1]
        remember_evaluation(
            network.architecture, side, result.protocol.label, images=result.n, seconds=result.seconds, watch=watch
        )
    return result


def note(model: nn.Module, images: ImageSet | Images, protocol: Protocol, place: Path) -> str | None:
    """Add a line to `LOOKS`; returns why that could not be done, or None. Of several processes the first does it."""
    if os.environ.get("RANK", "0") != "0":
        return None
    name, sha256 = (model.name, model.sha256) if isinstance(model, Model) else (type(model).__name__, None)
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": name,
        "sha256": sha256,
        "data": images.name,
        "split": images.split,
        "n": len(images),
        "protocol": protocol.label(),
        "out": str(place),
    }
    try:
        LOOKS.parent.mkdir(parents=True, exist_ok=True)
        with LOOKS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:  # the working folder may belong to someone else
        return error.strerror
    return None
