"""Options that several commands share, and how their help shows examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError
from advss_zoo.models.devices import check_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advss_zoo.data.folder.parts import Part
    from advss_zoo.zoo.reference import Reference

MODEL = "NAME, A+B, run, folder, hf://ORG/REPO, FILE.onnx, package.module:factory; else the default."
ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _known_device(device: str) -> str:
    try:
        check_device(device)
    except UsageError as error:
        raise typer.BadParameter(error.message) from error
    return device


DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", callback=_known_device, help="auto (a GPU if available), cpu, cuda or cuda:N."
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N images.")]
EotOption = Annotated[
    int | None, typer.Option("--eot", metavar="N", min=1, help="Draws to average over, for a random model.")
]
OutputOption = Annotated[str | None, typer.Option("--output", metavar="NAME", help="Output of an ONNX file to use.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for the results.")]
PartsOption = Annotated[
    str | None, typer.Option("--parts", metavar="PART=NAME,..", help="Folders (or entries of a column) of each split.")
]
TruncatedOption = Annotated[bool, typer.Option("--truncated", help="Use JPEGs that were cut off.")]
GroupByOption = Annotated[
    str | None,
    typer.Option("--group-by", metavar="COLUMN", help="Column, or pattern on paths, of images to keep together."),
]


def parsed(parts: str | None) -> Mapping[str, Part] | None:
    """Read --parts.

    Raises:
        UsageError: it is of another form.
    """
    from advss_zoo.data.folder.parts import parse_parts

    return None if parts is None else parse_parts(parts)


def examples(*lines: str) -> str:
    """Return an epilog of command lines that are shown as they stand, however narrow the terminal (\\b forbids
    wrapping).
    """
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def the_model(text: str | None, output: str | None = None) -> Reference:
    """Parse MODEL and --output, by default the zoo's default classifier, before torch is imported."""
    from advss_zoo.zoo import index
    from advss_zoo.zoo.reference import parse_reference

    reference = parse_reference(index.default_name() if text is None else text).with_output(output)
    warn_if_shadowed(reference)
    return reference


def warn_if_shadowed(reference: Reference) -> None:
    """Say that a run or folder has the name of a checkpoint of the zoo, as after `advss train p1f4.mini`."""
    for part in reference.parts:
        if part.shadowed:
            out.hint(f"{part} is taken from the zoo; for the run or folder of that name write ./{part.shadowed}.")
