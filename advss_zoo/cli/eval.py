"""`advss eval`: how robust is a model? Every evaluation is resumable and leaves a result that others can check."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.companions import share_among
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.measure import measure
from advss_zoo.cli.options import (
    BatchSizeOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    ModelArgument,
    OutOption,
    examples,
    the_model,
)
from advss_zoo.cli.output import out
from advss_zoo.cli.summary import show
from advss_zoo.errors import UsageError

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.evaluation.results import Result
    from advss_zoo.models.model import Model

EXAMPLES = examples(
    "advss eval",
    "advss eval p1f4.mini --attack clean,pgd20 --limit 200",
    "advss eval p1f4.mini --attack autoattack --limit 64",
    "advss eval p1f4.mini --attack corruptions --limit 200",
    "advss eval p1f4.mini+p1f3.mini --data cifar10",
    "advss eval p1f4+selfie-p3f4 --attack transfer",
    "advss eval p1f4 --norm l2 --eps 0.5 --restarts 5",
    "advss eval mypackage.models:build --json",
    "advss eval p1f4+my:build --attack transfer",
    "advss eval runs/p1f4.mini --data cifar10",
    "advss eval model.onnx --attack clean,square",
    "advss eval model.onnx --adversarial adv.safetensors",
)
SUBSET = "cifar10-1k"


def command(
    model: ModelArgument = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROTOCOL",
            help="clean, pgdN, pgdN-any, autoattack, or one of its attacks: apgd-ce, apgd-t, apgd-dlr, fab-t, square; "
            "corruptions, or corruptions-archive for the images of CIFAR-10-C or CIFAR-100-C; "
            "unforeseen, or some of its attacks: unforeseen-NAME, unforeseen-NAME-epsK, each also -untargeted; "
            "of an ensemble transfer and ensemble-worst; several at once; left out: pgd20.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(metavar="DATA", help="The test images of cifar10, cifar10-1k or cifar100, or a folder of images."),
    ] = SUBSET,
    whole: Annotated[
        bool, typer.Option("--whole", help="All images of a folder, not only those set aside from training.")
    ] = False,
    image_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=8, max=4096, help="Pixels a side for a folder; left out: the model's."),
    ] = None,
    limit: LimitOption = None,
    norm: Annotated[
        Literal["linf", "l2", "l1"],
        typer.Option(help="How perturbations are measured; l1 for autoattack and its attacks."),
    ] = "linf",
    eps: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Size of perturbations; left out: 8/255, with l2 0.5, with l1 12."),
    ] = None,
    step_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Size of a step of pgdN; left out: 2/255, with l2 2.5 eps / N."),
    ] = None,
    restarts: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random starts of pgdN; the worst of them counts.")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all that is random.")] = 0,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Also measure RA on the adversarial images rounded to 8 bit.")
    ] = False,
    save_adversarial: Annotated[
        bool, typer.Option("--save-adv", help="Keep the adversarial images, as safetensors and as RobustBench asks.")
    ] = False,
    adversarial: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge images that --save-adv kept, whatever model they were made on."),
    ] = None,
    robustbench: Annotated[
        bool,
        typer.Option("--robustbench-json", help="Also write AutoAttack and corruptions as RobustBench's model_info."),
    ] = False,
    search: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Precision in which pgdN and apgd-... look for images; what they find is judged in fp32."),
    ] = "fp32",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Also the mCE of corruptions against another model: a folder with its result, or its name.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that share the work: CPU cores, or a GPU each.")
    ] = 1,
    batch_size: BatchSizeOption = 256,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how robust a model is.

    TA, the accuracy on clean images, and RA, on attacked ones, are in percent, RA with its 95% interval. With
    corruptions nobody attacks: "corrupted" is the mean accuracy on 75 corrupted versions of each image. The same
    command again goes on where it was stopped. Results go to runs/eval/ unless --out says otherwise: for every
    protocol a result.json and the verdict on each image.
    """
    out.json = json
    reference = the_model(model)
    from advss_zoo.data.load import in_order, is_own
    from advss_zoo.zoo.places import folder_name, pick_of
    from advss_zoo.zoo.runs import RUNS

    _check_data(data, image_size, whole)
    share_among(processes)
    protocols = _protocols(
        attack or ([] if adversarial else ["pgd20"]),
        norm=norm,
        eps=eps,
        step_size=step_size,
        restarts=restarts,
        seed=seed,
        search=search,
    )
    if adversarial is not None:
        from advss_zoo.evaluation.saved import Saved

        protocols.append(Saved.read(adversarial))
    unmade = [protocol.name for protocol in protocols if not protocol.makes_images]
    if quantize and unmade:
        raise UsageError(
            f"{unmade[0]} makes no adversarial images that --quantize could round.", "Leave out one of the two."
        )
    if save_adversarial and len(unmade) == len(protocols):
        raise UsageError(f"{unmade[0]} makes no adversarial images.", "Leave out --save-adv.")
    if robustbench:
        from advss_zoo.evaluation.robustbench import check

        check([protocol.constants() for protocol in protocols], data)
    compared = None if baseline is None else _compared(baseline, protocols)
    images = None if is_own(data) else _images(data, limit)
    from advss_zoo.zoo.open import open_model

    results = {}
    with redirect_stdout(sys.stderr):  # whatever a model of the user's own prints, it is not our data
        opened = open_model(reference, device)
        where = opened.device.type
        if reference.kind == "onnx":
            out.hint(f"onnxruntime computes on the {'GPU' if where == 'cuda' else 'CPU'}.")
        for protocol in protocols:
            protocol.check_model(opened)
        if images is None:
            images = _own_images(Path(data), limit, opened, image_size, whole)
        if opened.classes is not None:
            images = in_order(images, opened.classes)
        protocols = [protocol.for_classes(len(images.classes)) for protocol in protocols]
        for protocol in protocols:
            protocol.check_images(images.images.shape[1:])
        references = {} if compared is None else _baselines(compared, protocols, images)
        pick = "-".join(filter(None, (pick_of(part.path) for part in reference.parts if part.path))) or None
        base = folder or RUNS / "eval" / folder_name(opened.name, images.name, pick=pick, limit=limit)
        for protocol in protocols:
            place = base / (protocol.slug() + ("-8bit" if quantize else ""))
            results[place] = measure(
                opened,
                images,
                protocol,
                place,
                batch_size=batch_size,
                device=where,
                quantize=quantize,
                save_adversarial=save_adversarial,
            )
    show(results, images, base, references)
    if robustbench:
        ours = all(part.kind == "zoo" for part in reference.parts)
        _write_robustbench(results.values(), opened, base, ours=ours)


def _compared(baseline: str, protocols: list[Protocol]) -> Path:
    """The folder of what the corruptions are compared with."""
    from advss_zoo.evaluation.protocols.corruptions import Corrupted
    from advss_zoo.report.html.collect import folder_of

    if not any(isinstance(protocol, Corrupted) for protocol in protocols):
        raise UsageError("--baseline is for corruptions.", "Add --attack corruptions.")
    return folder_of(baseline)


def _baselines(folder: Path, protocols: list[Protocol], images: ImageSet) -> dict[str, Result]:
    """What each protocol is compared with, by its name."""
    from advss_zoo.evaluation.protocols.corruptions import Corrupted, find_baseline

    return {
        protocol.name: find_baseline(folder, protocol, images)
        for protocol in protocols
        if isinstance(protocol, Corrupted)
    }


def _write_robustbench(results: Iterable[Result], model: Model, base: Path, *, ours: bool) -> None:
    from advss_zoo.evaluation import robustbench

    for result in results:
        if robustbench.takes(result.protocol):
            out.hint(f"For RobustBench: {robustbench.write(result, model, base, ours=ours)}")


def _check_data(data: str, image_size: int | None, whole: bool) -> None:
    from advss_zoo.data import catalogue
    from advss_zoo.data.load import is_own

    if not is_own(data) and (image_size or whole):
        raise UsageError(
            f"{'--whole' if whole else '--image-size'} is for a folder of images.", f"Leave it out for {data}."
        )
    if data != SUBSET and not is_own(data):
        catalogue.find(data)


def _protocols(attacks: list[str], **constants: Any) -> list[Protocol]:
    """Names given one by one, or several in one value, or as a suite, each once."""
    from advss_zoo.evaluation.eps import parse_eps

    names = [name for value in attacks for name in re.split(r"[,\s]+", value) if name]
    if attacks and not names:
        raise UsageError("--attack names no protocol.", "For example: --attack clean,pgd20")
    for key in ("eps", "step_size"):
        if constants[key] is not None:
            constants[key] = parse_eps(constants[key], constants["norm"])
    import_torch()
    from advss_zoo.evaluation import protocols

    return protocols.parse_all(names, **constants)


def _images(data: str, limit: int | None) -> ImageSet:
    from advss_zoo.data.load import load_data

    images = _first(load_data(data, "test"), limit)
    if data == SUBSET:
        out.hint(
            f"On the first {len(images):,} test images of CIFAR-10 (n = {len(images):,}). "
            "For all 10,000: `advss data get cifar10`, then add `--data cifar10`."
        )
    return images


def _first(images: ImageSet, limit: int | None) -> ImageSet:
    if limit is None:
        return images
    if limit > len(images):
        raise UsageError(f"--limit is {limit:,}, but {images.name} has {len(images):,} test images.")
    return images.first(limit)


def _own_images(folder: Path, limit: int | None, model: Model, image_size: int | None, whole: bool) -> ImageSet:
    """The test images of a folder, as the model knows their classes and their size."""
    from advss_zoo.data.folder.prepared import prepare
    from advss_zoo.data.reporting import Reporter

    side = image_size or model.image_size
    if side is None:
        raise UsageError(f"It is not known what size of images {model.name} takes.", "Add --image-size N.")
    prepared = prepare(folder, side, whole=whole, reporter=Reporter(out.hint, out.progress))
    images = prepared.load("test")
    if not whole and prepared.summary.parts["train"]:
        out.hint(
            f"On the {len(images):,} images of {folder} that are set aside to judge by; {prepared.images_file} says "
            "which. For all images, if the model has seen none of them in training: --whole"
        )
    if prepared.summary.skipped:
        out.hint(f"Skipped: {len(prepared.summary.skipped):,} files that cannot be read.")
    if model.classes is None:
        out.hint(f"The model's outputs are taken to be, in this order: {', '.join(images.classes)}.")
    return _first(images, limit)
