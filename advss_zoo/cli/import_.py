"""`advss import FILE`: make a checkpoint folder of weights that torch.save wrote, or of safetensors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import JsonOption, examples
from advss_zoo.cli.output import out
from advss_zoo.data.folder.names import class_names

if TYPE_CHECKING:
    from advss_zoo.models.architecture import Architecture
    from advss_zoo.zoo.imports import Imported

EXAMPLES = examples(
    "advss import adv_rotation/ata_best_model.pt",
    "advss import finetuned.pt --out mine --name p3f4",
    "advss import animals.pt --classes cat,dog,emu",
    "advss import a.pt --architecture timm:resnet18",
)
FOLDER = Path("imported")
LONGEST = 60  # characters of a name that is made of a file's


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="State dict (.pt or .safetensors), or the authors' format.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the checkpoint; default: imported/FILE.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the checkpoint; default: that of the file.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,..", help="Class names, or a file with one per line."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="timm:NAME or torchvision:NAME; default: a ResNet-v2."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Convert a file of weights to a checkpoint; print its folder.

    Reads the files of Chen et al. (pretraining with Rotation, Jigsaw, Selfie and ensembles; fine-tuned classifiers),
    and state dicts, plain or in the usual wrappers; of weights and their average (EMA) the average. Code in them is not
    run, and every tensor is accounted for. Classes default to CIFAR's. Of weights of timm or torchvision, name the
    model: --architecture timm:resnet18.
    """
    from advss_zoo.zoo import names

    out.json = json
    default = re.sub(r"[^a-z0-9]+", "-", file.stem.lower())[:LONGEST].strip("-") or "model"
    parsed = names.parse(name or default)
    folder = folder or FOLDER / default
    known = None if classes is None else class_names(classes)
    import_torch()
    from advss_zoo.zoo import imports
    from advss_zoo.zoo.reference import parse_reference

    reference = None if architecture is None else parse_reference(architecture)
    imported = imports.import_file(file, folder, parsed, known, reference)
    for line in _account(imported, guessed=classes is None):
        out.hint(line)
    out.line(str(folder), {"path": str(folder), "name": imported.config.full_name, **imported.to_json()})
    if imported.config.kind == "trunk":
        changes = [f"parent={folder}", *_overrides(imported.config.architecture)]
        out.hint(f"Fine-tune it: advss train RECIPE {shlex.join(changes)}")
    else:
        out.hint(f"Evaluate it: advss eval {shlex.quote(str(folder))}")


def _account(imported: Imported, *, guessed: bool) -> Iterator[str]:
    """What was found, and what became of it; `guessed` says that nobody named the classes."""
    config, dropped = imported.config, imported.dropped
    trunk = config.kind == "trunk"
    yield f"Found: {imported.layout}, {_network(config.architecture)}."
    parts = ", ".join(f"{part} {count}" for part, count in dropped.items())
    rest = f"{sum(dropped.values())} dropped (head of the pretext task: {parts})" if dropped else "none dropped"
    yield f"{imported.copied} {'trunk ' if trunk else ''}tensors copied, {rest}."
    if imported.initialised:
        yield (
            f"{len(imported.initialised)} missing in the file and initialised: trunk.bn1 (weight 1, bias 0, mean 0, "
            "variance 1). This changes the trunk's output: fine-tune the whole network (F3, F4)."
        )
    if imported.averaged:
        yield "The average of the weights (EMA) in the file is imported."
    if imported.untracked:
        yield f"{imported.untracked} counters of batch norm (num_batches_tracked) are missing in the file and set to 0."
    if imported.ignored:
        yield f"Ignored, not weights: {', '.join(imported.ignored)}."
    if not imported.normalised:
        mean, std = (" ".join(map(str, each)) for each in (config.architecture.mean, config.architecture.std))
        yield f"The file has no normalisation constants; these are used: mean {mean}, std {std}."
    if config.task in ("rotation", "jigsaw"):
        yield f"The number of outputs is that of the pretext task {config.task}. For a classifier, add --classes."
    if not trunk and guessed:
        first, *_, last = config.classes
        yield f"Classes are set to {first} to {last} ({len(config.classes)}); --classes changes them."


def _overrides(architecture: Architecture) -> list[str]:
    """What a recipe for the paper's network has to be told about this one."""
    found = architecture.model_dump(
        mode="json", exclude={"num_classes"}, exclude_defaults=True
    )  # classes are the head's
    return [
        f"architecture.{key}={value if isinstance(value, str) else dumps(value, separators=(',', ':'))}"
        for key, value in found.items()
    ]


def _network(architecture: Architecture) -> str:
    from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture

    if not isinstance(architecture, ResNetV2Architecture):
        return f"{architecture} of {architecture.family}"
    absent = {"stem": not architecture.stem_bn, "projection shortcuts": not architecture.shortcut_bn}
    places = " and ".join(place for place, without in absent.items() if without)
    network = f"ResNet-{architecture.depth}v2 of width {architecture.width}"
    return f"{network} without batch norm in {places}" if places else network
