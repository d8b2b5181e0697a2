"""`advss finetune --data DIR`: a robust classifier of your own images."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import (
    DeviceOption,
    GroupByOption,
    JsonOption,
    OutOption,
    PartsOption,
    TruncatedOption,
    examples,
    parsed,
)
from advss_zoo.cli.output import out
from advss_zoo.cli.summary import rows
from advss_zoo.texts import duration

if TYPE_CHECKING:
    from advss_zoo.workflows.finetune import FinetunedRun, PlannedRun

EXAMPLES = examples(
    "advss finetune --data mydir",
    "advss finetune --data mydir --budget 10m",
    "advss finetune --data labels.csv --from selfie-p3f4",
    "advss finetune --data mydir --from scratch",
    "advss finetune --data digits augmentation.flip=false",
    "advss finetune --data scans --group-by '^(p[0-9]+)'",
    "advss finetune --data mydir --parts train=a,test=b",
)


def command(
    data: Annotated[
        str, typer.Option(metavar="DIR", help="Class folders, or a CSV or JSONL of path,label.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe: dotted keys, values in YAML."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Model or trunk to start from, or scratch."),
    ] = None,
    mode: Annotated[
        Literal["f1", "f2", "f3", "f4"],
        typer.Option(help="f1, f2: head only; f3, f4: everything; f2, f4: adversarial."),
    ] = "f4",
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of epochs.")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time for the whole run, such as 10m or 1h.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(metavar="N", min=16, max=1024, help="Pixels per side; default: the checkpoint's.")
    ] = None,
    parts: PartsOption = None,
    group_by: GroupByOption = None,
    truncated: TruncatedOption = False,
    norm: Annotated[Literal["linf", "l2"], typer.Option(help="Norm of the threat model.")] = "linf",
    eps: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Perturbation size; default: 8/255 (linf), 0.5 (l2).")
    ] = None,
    objective: Annotated[
        Literal["classification", "trades", "rslad"],
        typer.Option(help="Training objective; rslad needs --teacher."),
    ] = "classification",
    teacher: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model whose soft labels are learned, or self.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the images and print the plan; do not train.")
    ] = False,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Train a robust classifier on a folder of images.

    Takes class folders, with or without train, val and test; broken files are named and skipped, and a test set is
    held out. Fine-tunes from the best trunk of the zoo by default, measures TA and RA (PGD-20) on the test set, and
    writes a card and a report. The run is runs/NAME.TAG unless --out says otherwise; use it by NAME.TAG in
    `advss eval`, `predict`, `export`, `publish` and --from.
    """
    out.json = json
    import_torch()
    from advss_zoo.workflows.finetune import finetune, plan_finetuning

    with out.steps() as steps:
        options: dict[str, Any] = {
            "start": start, "mode": mode, "norm": norm, "eps": eps, "objective": objective, "teacher": teacher,
            "epochs": epochs, "budget": budget, "image_size": image_size, "parts": parsed(parts), "group_by": group_by,
            "truncated": truncated, "overrides": overrides or (), "out": folder, "device": device, "progress": steps,
            "say": steps.say,
        }  # fmt: skip
        if dry_run:
            _show_plan(plan_finetuning(data, **options))
            return
        try:
            run = finetune(data, resume=resume, **options)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Run the same command with --resume to continue.") from None
    _show(run)


def _show_plan(planned: PlannedRun) -> None:
    recipes = planned.plan.recipes
    for recipe in recipes:
        out.line(recipe.to_yaml().rstrip())
    if out.json:
        document = {
            "data": {"name": planned.data.name, **planned.data.summary.to_json()},
            "recipes": [recipe.model_dump(mode="json") for recipe in recipes],
            "test_images": planned.plan.test_images,
            "seconds": [estimate.seconds for estimate in planned.estimates],
        }
        out.line("", document=document)


def _show(run: FinetunedRun) -> None:
    result = run.result
    (row,) = rows([result])
    del row["images/s"]  # of a test that is part of the run
    row["checkpoint"] = str(run.checkpoint)
    document = {
        "name": result.model.name,
        "path": str(run.checkpoint),
        "run": str(run.folder),
        "card": str(run.card),
        "report": str(run.report),
        "seconds": round(run.seconds, 1),
        "data": {"name": run.data.name, **run.data.summary.to_json()},
        "recipes": [recipe.model_dump(mode="json") for recipe in run.plan.recipes],
        "results": [result.to_dict()],
    }
    out.table([row], document=document)
    name = shlex.quote(run.name)
    if result.n < (total := run.data.summary.parts["test"]):
        options = run.plan.options
        again = f"advss eval {name} --data {shlex.quote(str(options.data))} {options.folder_options.arguments}".rstrip()
        out.hint(f"On {result.n:,} of {total:,} test images; all: {again}")
    out.hint(f"Use it: advss predict {name} IMAGE")
    out.hint(f"Report: {run.report}  Card: {run.card}  Total time: {duration(run.seconds)}")
