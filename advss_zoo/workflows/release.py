"""For maintainers: put a trained and evaluated checkpoint into the zoo, or add results to one that is there.

python -m advss_zoo.workflows.release new runs/p1f4.mini/average --result runs/eval/p1f4.mini-cifar10/pgd20 ...
python -m advss_zoo.workflows.release add p1f4.mini runs/eval/p1f4.mini-cifar10-1k/autoattack ...
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from advss_zoo import resources
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import results
from advss_zoo.files import read_json, write_json
from advss_zoo.training import log, recipe
from advss_zoo.zoo import RESULTS, cards, ensembles, index, sources
from advss_zoo.zoo.facts import control_of, facts
from advss_zoo.zoo.runs import CURVES, LOG


def release(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder inside its run's folder.")],
    summary: Annotated[str, typer.Option(help="One sentence for the card: what it is.")],
    limits: Annotated[str, typer.Option(help="One sentence for the card: what it is not for.")],
    machine: Annotated[str, typer.Option(help="What it was trained on.")],
    stored: Annotated[Literal["bundled", "checkout"], typer.Option(help="In the wheel, or in weights/.")] = "checkout",
    paper: Annotated[tuple[float, float] | None, typer.Option(help="TA and RA in percent, as in the paper.")] = None,
    control: Annotated[str | None, typer.Option(help="The checkpoint without pretraining to compare with.")] = None,
    default: Annotated[bool | None, typer.Option(help="What its name alone means; else if no other tag is.")] = None,
    result: Annotated[list[Path] | None, typer.Option(help="A result folder of `advss eval`; may be repeated.")] = None,
) -> None:
    """Copy weights, recipe, curves and results to their place, and write the card."""
    about = facts(folder) if ensembles.is_ensemble(folder) else describe(folder, machine)
    full_name = f"{about['name']}.{about['tag']}"
    recorded = _checked(result or [], about["sha256"])
    place = {"bundled": resources.PACKAGE / "bundled", "checkout": resources.CHECKOUT / "weights"}[stored]
    target = place / full_name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(ensembles.MEMBERS))
    if (curves := folder.parent / CURVES).is_file():  # an ensemble has none
        shutil.copyfile(curves, target / CURVES)
    for path, found in recorded.items():
        shutil.copytree(path, target / RESULTS / found.slug())
    values = about | {
        "default": _is_first(full_name) if default is None else default,
        "stored": stored,
        "licence": "MIT",
        "summary": summary,
        "limits": limits,
        "paper": dict(zip(("ta", "ra"), paper, strict=True)) if paper else None,
        "control": control_of(control),
        "results": [found.to_dict() for found in recorded.values()],
    }
    write_json(resources.folder("cards") / f"{full_name}.json", values)
    cards.write(full_name, target)


def _is_first(full_name: str) -> bool:
    name = full_name.partition(".")[0]
    return not any(entry.name == name and entry.default and entry.full_name != full_name for entry in index.entries())


def add(
    name: Annotated[str, typer.Argument(help="NAME.TAG of a checkpoint of the zoo.")],
    result: Annotated[list[Path], typer.Argument(help="Result folders of `advss eval`.")],
) -> None:
    """Add results to a checkpoint and its card; one of the same data and protocol is replaced."""
    entry = index.find(name)
    recorded = _checked(result, entry.sha256)
    target, card = sources.SOURCES[entry.stored](entry), resources.folder("cards") / f"{entry.full_name}.json"
    for path, found in recorded.items():
        shutil.copytree(path, target / RESULTS / found.slug(), dirs_exist_ok=True)
    values = read_json(card)
    kept = {results.Result.from_dict(each).slug(): each for each in values["results"]}
    kept |= {found.slug(): found.to_dict() for found in recorded.values()}
    write_json(card, values | {"results": list(kept.values())})
    index.entries.cache_clear()
    cards.write(entry.full_name, target)


def _checked(paths: list[Path], sha256: str) -> dict[Path, results.Result]:
    """Results that their verdicts bear out.

    Raises:
        UsageError: one is of other weights.
    """
    recorded = {path: results.check(path / results.RESULT_FILE) for path in paths}
    for found in recorded.values():
        if found.model.sha256 != sha256:
            raise UsageError(f"The result {found.protocol.label} is for other weights: {found.model.sha256}.")
    return recorded


def describe(folder: Path, machine: str) -> dict[str, Any]:
    """Describe a classifier or a trunk: its `facts`, and what the log of its run says."""
    about = facts(folder)
    return about | {"training": about["training"] | _logged(folder, about["training"]["epochs"]) | {"machine": machine}}


def _logged(folder: Path, epochs: float) -> dict[str, Any]:
    """What the run's log says about the weights after so many epochs; `best` ones were measured when they were kept."""
    records = log.read(folder.parent / LOG)
    measured = [record for record in records if "validation" in record and record["epoch"] <= epochs]
    settings = recipe.load(folder / "recipe.yaml").validation
    return {
        "curve": [{"epoch": each["epoch"], **each["validation"]} for each in records if "validation" in each],
        "minutes": round(records[-1]["seconds"] / 60, 1),
        "validation": measured[-1]["validation"],
        "validation_protocol": f"PGD-{settings.attack.steps} on {settings.images:,} images",
    }


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command("new")(release)
    app.command("add")(add)
    app()
