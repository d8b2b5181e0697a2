"""`advss export MODEL --to model.onnx`: a checkpoint as an ONNX file."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, ModelArgument, examples, the_model
from advss_zoo.cli.output import out, size

EXAMPLES = examples(
    "advss export p1f4 --to model.onnx",
    "advss export p1f4+selfie-p3f4 --to ensemble.onnx",
    "advss export mydir-jigsaw-p3f4 --to mine.onnx",
)


def command(
    target: Annotated[Path, typer.Option("--to", metavar="FILE", help="Output file, ending in .onnx.")],
    model: ModelArgument = None,
    json: JsonOption = False,
) -> None:
    """Write a classifier or an ensemble as an ONNX file.

    The file maps any number of images in [0,1] to logits, for an ensemble the log of the mean probability.
    Normalisation is inside; classes and image size are in its metadata. The logits are compared with PyTorch's before
    it is written. Needs the packages of `pip install 'advss-zoo[onnx]'`.
    """
    out.json = json
    reference = the_model(model)
    import_torch()
    from advss_zoo.texts import format_eps
    from advss_zoo.workflows.export import export

    done = export(reference, target)
    out.line(str(done.path), document=asdict(done) | {"path": str(done.path)})
    known = done.metadata
    against = f", trained against {known.norm} {format_eps(known.eps)}" if known.eps else ""
    out.hint(
        f"{known.name}: {len(known.classes)} classes, images of {known.image_size}x{known.image_size} pixels{against}; "
        f"{size(done.bytes, 'B')}. Logits differ from PyTorch's by at most {done.difference:.1g}."
    )
    out.hint(f"Use it: advss predict {shlex.quote(str(done.path))} IMAGE")
