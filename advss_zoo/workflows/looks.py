"""A note of every look at test images: a choice made by looking at them would show there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.zoo.load import Loaded

LOOKS = Path("runs") / "test-evaluations.jsonl"


def note(loaded: Loaded, images: ImageSet, protocol: Protocol, place: Path) -> str | None:
    """Add a line to `LOOKS`; returns why that could not be done, or None."""
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": loaded.full_name,
        "sha256": loaded.sha256,
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
