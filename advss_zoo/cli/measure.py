"""An evaluation with its progress on the terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advss_zoo.cli.output import is_first_process, out

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.evaluation.results import Result
    from advss_zoo.models.model import Model


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
    from advss_zoo.workflows.measure import LOOKS, note, timed

    begins = is_first_process() and not (place / RESULT_FILE).exists()
    if begins and (why := note(model, images, protocol, place)):
        out.hint(f"This look at test images is not noted in {LOOKS}: {why}.")
    with out.progress(protocol.label(), "images") as progress:
        return timed(
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
