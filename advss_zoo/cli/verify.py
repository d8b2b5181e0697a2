"""`advss verify MODEL`: is a checkpoint what its card says?"""

from __future__ import annotations

from typing import Annotated

import typer

from advss_zoo.cli.errors import FAILURE
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, ModelArgument, examples, the_model
from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError

EXAMPLES = examples("advss verify p1f4", "advss verify p1f4 --limit 200", "advss verify p1f4 --full")
STATES = {True: "ok", False: "FAILED", None: "not run"}


def command(
    model: ModelArgument = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Images to evaluate again; default: 128.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Evaluate all images of the card's results.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Check a checkpoint against its card.

    Checks its files, the recorded verdicts, and new verdicts on some images. Exit status 1 if anything differs.
    """
    if full and limit is not None:
        raise UsageError("--limit and --full cannot be combined.", "Give one of them.")
    reference = the_model(model)
    import_torch()
    from advss_zoo.workflows.verify import verify

    passed = True
    with out.steps() as steps:
        for check in verify(reference, limit or 128, full, device=device, progress=steps):
            out.line(f"{STATES[check.passed]}\t{check.name}\t{check.detail}")
            passed &= check.passed is not False
    if not passed:
        out.error(f"{reference} does not match its card.")
        raise typer.Exit(FAILURE)
