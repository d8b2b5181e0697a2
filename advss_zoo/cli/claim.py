"""`advss claim MODEL ...`: does a published robust accuracy hold?"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, EotOption, JsonOption, ModelArgument, OutOption, examples, the_model
from advss_zoo.cli.output import out
from advss_zoo.errors import UsageError
from advss_zoo.texts import duration, percent

if TYPE_CHECKING:
    from advss_zoo.evaluation.claimed import ClaimCheck

EXAMPLES = examples(
    "advss claim p1f4.mini --ra 0.40",
    "advss claim my:build --ra 0.52 --limit 200 --json",
    "advss claim my:build --from cifar10/Linf/X.json",
    "advss claim my:build --from results/pgd20",
    "advss claim p1f4.mini --ra 0.45 --attack pgd20",
)


def command(
    model: ModelArgument = None,
    ra: Annotated[float | None, typer.Option("--ra", metavar="SHARE", help="Claimed RA, such as 0.52.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="RobustBench model_info, folder of a result, or saved images."),
    ] = None,
    attack: Annotated[str, typer.Option(metavar="PROTOCOL", help="Attack that --ra was measured by.")] = "autoattack",
    norm: Annotated[Literal["linf", "l2", "l1"] | None, typer.Option(help="Norm of the threat model.")] = None,
    eps: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Perturbation size; default: 8/255 (linf), 0.5 (l2).")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="SHARE", help="How far RA may lie below a claim that holds.")
    ] = 0.05,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="cifar10, cifar10-1k, cifar100, or a folder of images.")
    ] = "cifar10-1k",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Sample: the first N images.")] = 1000,
    transfer: Annotated[
        str, typer.Option(metavar="MODEL", help="Model to make transferred images on, or none.")
    ] = "auto",
    eot: EotOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")] = 0,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Check a claimed robust accuracy.

    Runs PGD with two losses, images made on another model, APGD-CE, APGD-T and Square, each on the images that those
    before it left, and stops when the claim is refuted. RA is the worst case, in percent with a 95% interval. The claim
    "does not hold" if the interval lies below it, and "holds" if all attacks ran, nothing hints at masked gradients,
    and the interval lies above the claim minus the tolerance.

    Repeat the command to continue a stopped check. Exit status 1 if the claim does not hold.
    """
    out.json = json
    if (ra is None) == (source is None):
        raise UsageError("A claim needs either --ra or --from.", "For example: --ra 0.52")
    reference = the_model(model)
    import_torch()
    from advss_zoo.cli.errors import FAILURE
    from advss_zoo.files import file_name
    from advss_zoo.workflows.claim import claim
    from advss_zoo.zoo.runs import RUNS

    base = folder or RUNS / "claims" / file_name(f"{reference.text}-{Path(data).name}-{limit}")
    with redirect_stdout(sys.stderr), out.steps() as steps:
        found = claim(
            reference,
            ra if ra is not None else str(source),
            data,
            attack=attack,
            norm=norm,
            eps=eps,
            tolerance=tolerance,
            limit=limit,
            transfer=None if transfer == "none" else transfer,
            eot=eot,
            seed=seed,
            out=base,
            device=device,
            progress=steps,
            say=steps.say,
        )
    show(found, base)
    if found.verdict == "does not hold":
        raise typer.Exit(FAILURE)


def show(found: ClaimCheck, base: Path) -> None:
    """Print what became of a claim, whose files lie in `base`."""
    rows = [
        {
            "attack": step.attack,
            "attacked": f"{step.attacked:,}",
            "broken": f"{step.broken:,}",
            "RA after": percent(step.ra),
            "time": duration(step.seconds),
        }
        for step in found.steps
    ]
    out.table(rows, document=found.to_dict() | {"out": str(base)})
    low, high = map(percent, found.ra_ci95)
    out.line(
        f"The claim {found.verdict if found.verdict != 'not settled' else 'is not settled'}: "
        f"RA {percent(found.ra)} ({low} to {high}) on {found.n:,} images of {found.data.name}; "
        f"claimed {percent(found.claim.ra)} under {found.claim.attack}."
    )
    if found.needed_images is not None:
        time = duration(found.needed_seconds or 0.0)
        out.hint(f"To settle it: about {found.needed_images:,} images, about {time} on this machine (--limit).")
    elif found.verdict == "not settled":
        out.hint("More images alone do not settle it.")
    for sentence in (*found.left_out, *found.warnings):
        out.hint(f"Warning: {sentence}")
    out.hint(f"Result: {base / 'claim.json'}")
