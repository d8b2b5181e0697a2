"""An evaluation on test images: that they were looked at is noted, and how long it took remembered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.resnetv2 import Network
from advss_zoo.training.cost import remember_evaluation
from advss_zoo.training.speeds import Stopwatch

LOOKS = Path("runs") / "test-evaluations.jsonl"  # a choice made by looking at test images would show there


def timed(model: Model, images: ImageSet, protocol: Protocol, *, device: str, **options: Any) -> Result:
    """Evaluate as `evaluation.runner.evaluate` does with these options, and remember how long that took.

    Raises:
        AdvssError: as `evaluate` does.
    """
    with Stopwatch(device) as watch:
        result = evaluate(model, images, protocol, device=device, **options)
    if isinstance(network := unwrapped(model), Network):
        named, side = protocol.label(), images.images.shape[-1]
        remember_evaluation(network.architecture, side, named, images=result.n, seconds=result.seconds, watch=watch)
    return result


def note(model: Model, images: ImageSet, protocol: Protocol, place: Path) -> str | None:
    """Add a line to `LOOKS`; returns why that could not be done, or None."""
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model.name,
        "sha256": model.sha256,
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
    except OSError as error:  # the folder one stands in need not be one's own
        return error.strerror
    return None
