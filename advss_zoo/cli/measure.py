"""An evaluation with its progress on the terminal, and a note that these test images were looked at."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from advss_zoo.cli.output import is_first_process, out

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.evaluation.results import Result
    from advss_zoo.models.model import Model

RUNS = Path("runs")


def measure(
    model: Model,
    images: ImageSet,
    protocol: Protocol,
    place: Path,
    *,
    batch_size: int,
    device: str,
    quantize: bool = False,
    save_adversarial: bool = False,
) -> Result:
    from advss_zoo.evaluation.results import RESULT_FILE
    from advss_zoo.evaluation.runner import evaluate
    from advss_zoo.models.model import unwrapped
    from advss_zoo.models.resnetv2 import Network
    from advss_zoo.training.cost import remember_evaluation
    from advss_zoo.training.speeds import Stopwatch

    if is_first_process() and not (place / RESULT_FILE).exists():
        _log(model, images, protocol, place)
    with out.progress(protocol.label(), "images") as progress, Stopwatch(device) as watch:
        result = evaluate(
            model,
            images,
            protocol,
            out=place,
            batch_size=batch_size,
            device=device,
            progress=progress,
            command=shlex.join(["advss", *sys.argv[1:]]),
            quantize=quantize,
            save_adversarial=save_adversarial,
        )
    if isinstance(network := unwrapped(model), Network):
        remember_evaluation(
            network.architecture,
            images.images.shape[-1],
            protocol.label(),
            images=result.n,
            seconds=result.seconds,
            watch=watch,
        )
    return result


def _log(model: Model, images: ImageSet, protocol: Protocol, place: Path) -> None:
    """Note every look at test images: a choice made by looking at them would show here."""
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
    path = RUNS / "test-evaluations.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:  # the folder one stands in need not be one's own
        out.hint(f"This look at test images is not noted in {path}: {error.strerror}.")
