"""`advss train RECIPE`: make a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, OutOption, examples, pick_device
from advss_zoo.cli.output import expected, out

if TYPE_CHECKING:
    from advss_zoo.training.recipe import EnsembleRecipe, Recipe

EXAMPLES = examples(
    "advss train p1f4.mini",
    "advss train p1f4.mini --resume",
    "advss train my.yaml epochs=10 seed=21 --out runs/my",
    "advss train p1f4.mini adversary.0.eps=4/255 --dry-run",
)


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe: dotted keys, values in YAML."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the checked recipe and its cost; train nothing.")
    ] = False,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Make a checkpoint by a recipe.

    Pretraining or fine-tuning, standard or adversarial. A run is a folder, runs/NAME.TAG unless --out says otherwise,
    with its log, curves, weights and all that --resume needs. Prints the folder of the finished checkpoint.
    """
    out.json = json
    import_torch()
    from advss_zoo.training.recipe import load_any

    resolved = load_any(recipe, overrides or [], runs=folder.parent if folder else Path("runs"))
    if dry_run:
        _describe(resolved, pick_device(device))
        return
    folder = folder or Path("runs") / resolved.full_name
    checkpoint = _make(resolved, folder, resume, pick_device(device))
    document = {"name": resolved.full_name, "path": str(checkpoint), "run": str(folder)}
    out.line(str(checkpoint), document=document)


def _describe(recipe: Recipe | EnsembleRecipe, device: str) -> None:
    """The recipe as it would be run, and what that costs on this machine."""
    from advss_zoo.training.cost import estimate
    from advss_zoo.training.recipe import EnsembleRecipe

    document = recipe.model_dump(mode="json")
    if isinstance(recipe, EnsembleRecipe):
        out.line(recipe.to_yaml().rstrip(), document=document)
        out.hint("Nothing is trained but the members.")
        return
    out.line(recipe.to_yaml().rstrip())
    out.hint(f"Estimating the time on this machine ({device}) ...")
    cost = estimate(recipe, device=device)
    if out.json:
        out.line("", document=document | {"cost": asdict(cost)})
    out.hint(
        f"{cost.steps:,} steps of {recipe.batch_size} images, {cost.passes_per_image:.2g} forward+backward passes an "
        f"image; {expected(cost.seconds, cost.seconds_now)} ({device})."
    )


def _make(recipe: Recipe | EnsembleRecipe, folder: Path, resume: bool, device: str) -> Path:
    from advss_zoo.training.assembly import assemble
    from advss_zoo.training.recipe import EnsembleRecipe
    from advss_zoo.training.trainer import train

    if isinstance(recipe, EnsembleRecipe):
        return assemble(recipe, folder)

    try:
        with out.progress(recipe.full_name, "steps") as progress:
            return train(recipe, folder, resume=resume, device=device, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Run the same command with --resume to go on.") from None
