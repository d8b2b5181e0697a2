"""`advss eval`: how robust is a model? Every evaluation is resumable and leaves a result that others can check."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from advss_zoo.cli.companions import one_a_core, share_among
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import (
    DeviceOption,
    EotOption,
    GroupByOption,
    JsonOption,
    LimitOption,
    ModelArgument,
    OutOption,
    OutputOption,
    PartsOption,
    TruncatedOption,
    examples,
    parsed,
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
            help="Protocols, separated by commas (see above); default: pgd20.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(metavar="DATA", help="cifar10, cifar10-1k, cifar100, or a folder of images."),
    ] = "cifar10-1k",
    whole: Annotated[bool, typer.Option("--whole", help="All images of a folder, not only its test set.")] = False,
    image_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=8, max=4096, help="Pixels per side for a folder; default: the model's."),
    ] = None,
    parts: PartsOption = None,
    group_by: GroupByOption = None,
    truncated: TruncatedOption = False,
    classes: Annotated[
        str | None, typer.Option(metavar="FILE", help="Names of the model's outputs, one per line, or A,B,...")
    ] = None,
    limit: LimitOption = None,
    norm: Annotated[
        Literal["linf", "l2", "l1"],
        typer.Option(help="Norm of the threat model (l1: AutoAttack only)."),
    ] = "linf",
    eps: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Perturbation size; default: 8/255 (linf), 0.5 (l2), 12 (l1)."),
    ] = None,
    step_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Step size of pgdN; default: 2/255, in l2 2.5*eps/N."),
    ] = None,
    restarts: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random starts of pgdN; the worst case counts.")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")] = 0,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Also measure RA on adversarial images rounded to 8 bit.")
    ] = False,
    eot: EotOption = None,
    save_adversarial: Annotated[
        bool, typer.Option("--save-adv", help="Save adversarial images, as safetensors and in RobustBench's format.")
    ] = False,
    adversarial: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Evaluate saved adversarial images of any model."),
    ] = None,
    robustbench: Annotated[
        bool,
        typer.Option("--robustbench-json", help="Also write RobustBench's model_info (AutoAttack, corruptions)."),
    ] = False,
    search: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Search precision of pgdN and apgd; verified in fp32."),
    ] = "fp32",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Reference for mCE: a checkpoint, or folder of its result.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Images attacked at once; changes no verdict."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that share the work; default: one a core."),
    ] = None,
    output: OutputOption = None,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the robustness of a model.

    TA is the accuracy on clean images, RA the accuracy under attack, in percent with a 95% interval. "corrupted" is the
    mean accuracy on 75 corrupted versions of each image. Repeat the command to continue a stopped evaluation. Each
    protocol gets a result.json and the verdict on each image, in runs/eval/ unless --out says otherwise.

    Protocols: clean, pgdN, pgdN-any, pgdN-margin; autoattack, autoattack-sampled, quick-malt, or one attack: apgd-ce,
    apgd-margin, apgd-dlr, apgd-t, fab-t, square; corruptions, or corruptions-archive for CIFAR-10-C or CIFAR-100-C;
    unforeseen, unforeseen-NAME, unforeseen-NAME-epsK, each also with -untargeted at the end; for an ensemble transfer
    and ensemble-worst.
    """
    out.json = json
    reference = the_model(model, output)
    # Models of others may be large, and ONNX Runtime has threads of its own.
    shares = not any(part.kind in ("factory", "onnx") for part in reference.parts)
    share_among(processes or (one_a_core(limit) if shares else 1))
    import_torch()
    from advss_zoo.evaluation import robustbench as for_robustbench
    from advss_zoo.models.devices import computes_bfloat16
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
            eot=eot,
            save_adversarial=save_adversarial,
            baseline=baseline,
            whole=whole,
            image_size=image_size,
            parts=parsed(parts),
            group_by=group_by,
            truncated=truncated,
            classes=classes,
            device=device,
            progress=steps,
            say=steps.say,
        )
        if reference.kind == "onnx":
            steps.say(f"onnxruntime computes on the {'CPU' if evaluation.device == 'cpu' else 'GPU'}.")
        if search == "bf16" and not computes_bfloat16(evaluation.device):
            steps.say("This processor has no instructions for bfloat16: without --search bf16 it is faster.")
        pick = "-".join(filter(None, (pick_of(part.path) for part in reference.parts if part.path))) or None
        name = folder_name(evaluation.name, evaluation.images.name, pick=pick, limit=limit)
        base = folder or RUNS / "eval" / name
        results = evaluation.run(base, batch_size=batch_size, progress=steps, say=steps.say)
    show(results, base)
    if robustbench:
        ours = all(part.kind == "zoo" for part in reference.parts)
        for result in filter(lambda result: for_robustbench.takes(result.protocol), results):
            path = for_robustbench.write(result, evaluation.model, base, ours=ours)
            out.hint(f"RobustBench: {path}")


def _names(attacks: list[str] | None) -> list[str] | None:
    """Split values that name several protocols; None where no option was given.

    Raises:
        UsageError: they name none.
    """
    if not attacks:
        return None
    names = [name for value in attacks for name in re.split(r"[,\s]+", value) if name]
    if not names:
        raise UsageError("--attack needs the name of a protocol.", "For example: --attack clean,pgd20")
    return names
