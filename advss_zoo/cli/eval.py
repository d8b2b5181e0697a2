"""`advss eval`: how robust is a model? Every evaluation is resumable and leaves a result that others can check."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from advss_zoo.cli.companions import share_among
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import (
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
    ] = "cifar10-1k",
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
        typer.Option(help="Norm of the threat model (l1: AutoAttack only)."),
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
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")] = 0,
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
    share_among(processes)
    import_torch()
    from advss_zoo.evaluation import robustbench as for_robustbench
    from advss_zoo.workflows.evaluate import PlannedEvaluation, choose
    from advss_zoo.zoo.places import folder_name, pick_of
    from advss_zoo.zoo.runs import RUNS

    protocols = choose(
        _names(attack),
        adversarial,
        norm=norm,
        eps=eps,
        step_size=step_size,
        restarts=restarts,
        seed=seed,
        search=search,
    )
    if robustbench:
        for_robustbench.check([protocol.constants() for protocol in protocols], data)
    # Whatever a model of the user's own prints is no data of this command.
    with redirect_stdout(sys.stderr), out.steps() as steps:
        evaluation = PlannedEvaluation.of(
            reference,
            data,
            protocols,
            limit=limit,
            quantize=quantize,
            save_adversarial=save_adversarial,
            baseline=baseline,
            whole=whole,
            image_size=image_size,
            device=device,
            progress=steps,
            say=steps.say,
        )
        if reference.kind == "onnx":
            steps.say(f"onnxruntime computes on the {'GPU' if evaluation.device == 'cuda' else 'CPU'}.")
        pick = "-".join(filter(None, (pick_of(part.path) for part in reference.parts if part.path))) or None
        name = folder_name(evaluation.name, evaluation.images.name, pick=pick, limit=limit)
        base = folder or RUNS / "eval" / name
        results = evaluation.run(base, progress=steps, say=steps.say)
    show(results, base)
    if robustbench:
        ours = all(part.kind == "zoo" for part in reference.parts)
        for result in filter(lambda result: for_robustbench.takes(result.protocol), results):
            path = for_robustbench.write(result, evaluation.model, base, ours=ours)
            out.hint(f"For RobustBench: {path}")


def _names(attacks: list[str] | None) -> list[str] | None:
    """Split values that name several protocols; None where no option was given.

    Raises:
        UsageError: they name none.
    """
    if not attacks:
        return None
    names = [name for value in attacks for name in re.split(r"[,\s]+", value) if name]
    if not names:
        raise UsageError("--attack names no protocol.", "For example: --attack clean,pgd20")
    return names
