"""An evaluation with its progress on the terminal, and a note that these test images were looked at."""

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
    from advss_zoo.zoo.load import Loaded

RUNS = Path("runs")


def measure(
    loaded: Loaded,
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
    from advss_zoo.evaluation.runner import Subject, evaluate
    from advss_zoo.workflows import looks

    begun = is_first_process() and not (place / RESULT_FILE).exists()
    if begun and (why := looks.note(loaded, images, protocol, place)):
        out.hint(f"This look at test images is not noted in {looks.LOOKS}: {why}.")
    with out.progress(protocol.label(), "images") as progress:
        return evaluate(
            loaded.model,
            images,
            protocol,
            out=place,
            batch_size=batch_size,
            device=device,
            progress=progress,
            subject=Subject(loaded.full_name, loaded.sha256),
            command=shlex.join(["advss", *sys.argv[1:]]),
            quantize=quantize,
            save_adversarial=save_adversarial,
        )
