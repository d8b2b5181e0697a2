"""`advss verify NAME`: is a checkpoint what its card says?"""

from __future__ import annotations

from typing import Annotated

import typer

from advss_zoo.cli.errors import FAILURE
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, Name, examples, pick_device
from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError

EXAMPLES = examples("advss verify p1f4", "advss verify p1f4 --limit 200", "advss verify p1f4 --full")
STATES = {True: "ok", False: "FAILED", None: "not run"}


def command(
    name: Name,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Images to evaluate again; left out: 128.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Evaluate all images of the card's results.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Check a checkpoint against its card.

    Its files, the recorded verdicts, and verdicts made anew on some images. Exit status 1 if anything differs.
    """
    if full and limit is not None:
        raise UsageError("--limit and --full exclude each other.", "Give one of them.")
    from advss_zoo.zoo import index

    index.find(name)  # a name the zoo does not know is refused before torch is imported
    import_torch()
    from advss_zoo.zoo.verify import verify

    passed = True
    with out.progress(f"Verifying {name}", "images") as progress:
        for check in verify(name, limit=None if full else limit or 128, device=pick_device(device), progress=progress):
            out.line(f"{STATES[check.passed]}\t{check.name}\t{check.detail}")
            passed &= check.passed is not False
    if not passed:
        out.error(f"{name} is not what its card says.")
        raise typer.Exit(FAILURE)
