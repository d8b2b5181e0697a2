"""Options that several commands share, and how their help shows examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="A checkpoint of the zoo, see `advss list`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Images between two saves.")]
LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N images.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the results go.")]


def examples(*lines: str) -> str:
    """An epilog of command lines that are shown as they stand, however narrow the terminal (\\b forbids wrapping)."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def say_which(reference: str) -> None:
    """A run may have the name of a checkpoint of the zoo, as after `advss train p1f4.mini`."""
    from advss_zoo.zoo.reference import shadowed

    if run := shadowed(reference):
        out.hint(f"{reference} is the zoo's; for the run of that name give its folder, {run}.")


def pick_device(device: Device) -> str:
    """
    Raises:
        UsageError: a GPU was asked for and torch sees none.
    """
    import_torch()
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no GPU that torch can use.", "Leave --device out, or see `advss doctor`.")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
