"""`advss train RECIPE`: make a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, OutOption, examples
from advss_zoo.cli.output import out

EXAMPLES = examples(
    "advss train p1f4.mini",
    "advss train p1f4.mini --resume",
    "advss train my.yaml epochs=10 seed=21 --out runs/my",
    "advss train p1f4.mini adversary.0.eps=4/255 --dry-run",
)


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a recipe.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe: dotted keys, values in YAML."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the recipe and its cost; do not train.")] = False,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Train a checkpoint by a recipe.

    Pretraining or fine-tuning, standard or adversarial. A run is a folder, runs/NAME.TAG unless --out says otherwise,
    with log, curves, weights and the state for --resume. Prints the folder of the finished checkpoint.
    """
    out.json = json
    import_torch()
    from advss_zoo.workflows.train import plan_training, train

    if dry_run:
        out.hint("Estimating the time on this machine ...")
        planned = plan_training(recipe, overrides or (), out=folder, device=device)
        cost = {"cost": asdict(planned.estimate)} if planned.estimate else {}
        document = planned.recipe.model_dump(mode="json") | cost
        out.line(planned.recipe.to_yaml().rstrip(), document=document)
        out.hint(planned.describe())
        return
    try:
        with out.steps() as progress:
            run = train(recipe, overrides or (), out=folder, resume=resume, device=device, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Run the same command with --resume to continue.") from None
    document = {"name": run.recipe.full_name, "path": str(run.checkpoint), "run": str(run.folder)}
    out.line(str(run.checkpoint), document=document)
