"""`advss finetune --data DIR`: a robust classifier of one's own images."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, OutOption, examples, pick_device
from advss_zoo.cli.output import duration, expected, out
from advss_zoo.errors import UsageError
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.data.folder.prepared import Prepared
    from advss_zoo.evaluation.results import Result
    from advss_zoo.training.finetune import Plan

EXAMPLES = examples(
    "advss finetune --data mydir",
    "advss finetune --data mydir --budget 10m",
    "advss finetune --data labels.csv --from selfie-p3f4",
    "advss finetune --data mydir --from scratch",
    "advss finetune --data digits augmentation.flip=false",
)
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


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
        typer.Option(
            "--from",
            metavar="NAME",
            help="A trunk, classifier or ensemble, a run in ./runs, a folder, or scratch; else the best trunk.",
        ),
    ] = None,
    mode: Annotated[
        Literal["f1", "f2", "f3", "f4"],
        typer.Option(help="Head alone or everything, standard (f1, f3) or adversarial (f2, f4)."),
    ] = "f4",
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="Passes over the images.")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="10m, 1h: epochs and attack steps are chosen to fit.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(metavar="N", min=16, max=1024, help="Pixels a side; left out: the checkpoint's.")
    ] = None,
    norm: Annotated[Literal["linf", "l2"], typer.Option(help="How perturbations are measured.")] = "linf",
    eps: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of perturbations; left out: 8/255, with l2 0.5.")
    ] = None,
    objective: Annotated[
        Literal["classification", "trades", "rslad"],
        typer.Option(help="Training objective; rslad needs --teacher."),
    ] = "classification",
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model whose soft labels are learned, or self.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the images and plan; train nothing.")] = False,
    device: DeviceOption = "auto",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Make a robust classifier of a folder of images.

    Class folders, with or without train, val and test; broken files are named and skipped, and images to judge by are
    set aside. Fine-tunes, measures TA and RA (PGD-20) on those, and writes a card and a page to look at. The run is
    kept in runs/NAME.TAG unless --out says otherwise, and goes by NAME.TAG in `advss eval`, `predict`, `export`,
    `publish` and --from.
    """
    out.json = json
    began, seconds = time.monotonic(), _seconds(budget)
    if seconds is not None and epochs is not None:
        raise UsageError("--budget and --epochs both say how long to train.", "Give one of them.")
    if objective == "trades" and mode in ("f1", "f3"):
        raise UsageError(f"TRADES needs an adversary, and {mode} has none.", "Choose --mode f2 or f4.")
    if objective == "rslad" and teacher is None:
        raise UsageError("--objective rslad learns a teacher's soft labels.", "Add --teacher NAME.")
    size = _eps(eps, norm)
    _check_text(data)
    import_torch()
    from advss_zoo.data.load import is_own
    from advss_zoo.training import finetune
    from advss_zoo.zoo import index

    if start == finetune.SCRATCH and mode in ("f1", "f2"):
        raise UsageError(
            f"{mode} trains the head alone, on a trunk that is random from scratch.", "Choose --mode f3 or f4."
        )
    where, runs = pick_device(device), folder.parent if folder else Path("runs")
    start = start or index.default_trunk()
    starts = finetune.starts(start, runs)
    wishes = finetune.Wishes(
        data=data if is_own(data) else f"./{data}",  # a folder, also where a data set goes by that name
        start=start,
        mode=mode,
        side=image_size or finetune.image_size(starts),
        norm=norm,
        eps=size,
        objective=objective,
        teacher=teacher,
        epochs=epochs,
        budget=seconds,
        overrides=tuple(overrides or ()),
    )
    folder = folder or runs / finetune.full_name(wishes, starts)
    kept = None if dry_run else finetune.read_plan(folder)
    if kept and not resume:
        raise UsageError(f"{folder} already holds a run.", "Add --resume to go on with it, or choose another --out.")
    prepared = _prepare(Path(data), wishes.side)
    if kept:
        finetune.check_same(kept, wishes, prepared)
    out.hint(f"Estimating the time on this machine ({where}) ...")
    spent = time.monotonic() - began
    plan = kept or finetune.plan(wishes, starts, prepared, spent=spent, device=where, beside=runs)
    _describe(plan, prepared, where, dry_run)
    if not dry_run:
        Run(plan, prepared, folder, where, began).go(resume)


@dataclass(frozen=True)
class Run:
    """What is planned, and the folder it is done in; `began` is when the command did."""

    plan: Plan
    prepared: Prepared
    folder: Path
    device: str
    began: float

    def go(self, resume: bool) -> None:
        self.plan.write(self.folder)
        try:
            checkpoint, runs = self._train(resume)
            self._judge(checkpoint, runs)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Run the same command with --resume to go on.") from None

    def _train(self, resume: bool) -> tuple[Path, list[Path]]:
        """The checkpoint, and the folder of each recipe's run."""
        from advss_zoo.training.assembly import assemble
        from advss_zoo.training.outcome import stopped
        from advss_zoo.training.trainer import train

        recipes = self.plan.recipes
        runs = [self.folder if len(recipes) == 1 else self.folder / recipe.full_name for recipe in recipes]
        trained = []
        for recipe, run in zip(recipes, runs, strict=True):
            with out.progress(recipe.full_name, "steps") as progress:
                trained.append(train(recipe, run, resume=resume, device=self.device, progress=progress))
            if epochs := stopped(recipe, run):
                out.hint(
                    f"{recipe.full_name}: stopped after {epochs:g} of {recipe.epochs} epochs, for validation had not "
                    f"become better in {recipe.validation.patience} looks; the best weights are kept."
                )
        return trained[0] if len(trained) == 1 else assemble(self.plan.ensemble(trained), self.folder), runs

    def _judge(self, checkpoint: Path, runs: list[Path]) -> None:
        """Fit the temperature, measure, write the card and the page, and tell of all."""
        from advss_zoo.cli.measure import measure
        from advss_zoo.evaluation import protocols
        from advss_zoo.evaluation.results import result_slug
        from advss_zoo.training import outcome
        from advss_zoo.training.calibration import calibrate
        from advss_zoo.zoo import RESULTS
        from advss_zoo.zoo.open import open_model

        wishes = self.plan.wishes
        watched = min(self.plan.recipes[0].validation.images, self.prepared.held_out)
        validation = self.prepared.load("train").first(watched)
        calibrate(checkpoint, validation, self.device)
        images = self.prepared.load("test").first(self.plan.judged)
        protocol = protocols.parse("pgd20", norm=wishes.norm, eps=wishes.eps).for_classes(len(images.classes))
        place = checkpoint / RESULTS / result_slug(images.name, protocol.label())
        model = open_model(checkpoint, self.device)
        result = measure(model, images, protocol, place, batch_size=256, device=self.device)
        shown = images.first(outcome.EXAMPLES)
        examples = self.folder / "examples"
        measure(model, shown, protocol, examples, batch_size=256, device=self.device, save_adversarial=True)
        card = outcome.finish(self.plan, self.prepared.summary, checkpoint, runs, place, result)
        self._show(checkpoint, result, card, outcome.report(self.folder, images))

    def _show(self, checkpoint: Path, result: Result, card: Path, page: Path) -> None:
        from advss_zoo.training.outcome import called

        seconds = time.monotonic() - self.began
        low, high = result.ra_ci95 or (0.0, 0.0)
        row = {
            "model": result.model.name,
            "data": result.data.name,
            "n": f"{result.n:,}",
            "protocol": result.protocol.label,
            "TA": percent(result.ta),
            "RA": percent(result.ra),
            "RA 95%": f"{percent(low)} to {percent(high)}",
            "checkpoint": str(checkpoint),
        }
        document = {
            "name": result.model.name,
            "path": str(checkpoint),
            "run": str(self.folder),
            "card": str(card),
            "report": str(page),
            "seconds": round(seconds, 1),
            "data": {"name": self.prepared.name, **self.prepared.summary.to_json()},
            "recipes": [recipe.model_dump(mode="json") for recipe in self.plan.recipes],
            "results": [result.to_dict()],
        }
        out.table([row], document=document)
        name, total = called(checkpoint), self.prepared.summary.parts["test"]
        if result.n < total:
            out.hint(
                f"On {result.n:,} of {total:,} images that are set aside; all: "
                f"advss eval {name} --data {self.plan.wishes.data}"
            )
        out.hint(f"Use it: advss predict {name} IMAGE")
        out.hint(f"To look at, in a browser: {page}. Card: {card}. All in all {duration(seconds)}.")


def _check_text(data: str) -> None:
    """
    Raises:
        UsageError: the path holds bytes that are no text, and a recipe, which is to name it, is text.
    """
    try:
        data.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The name {data} is no text, and a recipe has to name it.", "Rename it.") from error


def _prepare(data: Path, side: int) -> Prepared:
    """Look at all images and say what was found."""
    from advss_zoo.data.folder.prepared import prepare
    from advss_zoo.data.reporting import Reporter
    from advss_zoo.errors import DataError

    prepared = prepare(data, side, reporter=Reporter(out.hint, out.progress))
    if not prepared.summary.parts["train"]:
        raise DataError(f"All images in {data} are test images.", "Put others into a folder train/ beside test/.")
    for line in prepared.summary.lines():
        out.hint(line)
    return prepared


def _describe(plan: Plan, prepared: Prepared, device: str, alone: bool) -> None:
    """What will be done; `alone` if it is all that is printed."""
    from advss_zoo.training.cost import estimate
    from advss_zoo.training.finetune import SCRATCH

    for recipe in plan.recipes:
        cost = estimate(recipe, device=device, images=prepared.summary.parts["train"])
        frozen = f", the trunk frozen for the first {recipe.head_first:.0%}" if recipe.head_first else ""
        weighted = ", losses weighted by class" if getattr(recipe.objective, "class_weights", ()) else ""
        out.hint(
            f"{recipe.full_name}: {plan.wishes.mode.upper()} from {recipe.parent or SCRATCH}, {recipe.epochs} epochs "
            f"of {cost.steps // recipe.epochs:,} steps{frozen}, {recipe.adversary[-1].name}, "
            f"{cost.passes_per_image:.2g} passes an image{weighted}; "
            f"{expected(cost.seconds, cost.seconds_now)} ({device})."
        )
        if alone:
            out.line(recipe.to_yaml().rstrip())
    if alone and out.json:
        recipes = [recipe.model_dump(mode="json") for recipe in plan.recipes]
        data: dict[str, Any] = {"name": prepared.name, **prepared.summary.to_json()}
        out.line("", document={"data": data, "recipes": recipes, "judged": plan.judged})


def _seconds(budget: str | None) -> float | None:
    """90, 90s, 10m, 1.5h as seconds.

    Raises:
        UsageError: it is no such time.
    """
    if budget is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*(s|m|min|h)?", budget.strip())
    if match is None or not float(match[1]):
        raise UsageError(f"{budget!r} is not a time.", "Write for example --budget 10m, 90s or 1.5h.")
    return float(match[1]) * UNITS[match[2] or ""]


def _eps(text: str | None, norm: Literal["linf", "l2"]) -> float:
    from advss_zoo.evaluation.eps import parse_eps

    return {"linf": 8 / 255, "l2": 0.5}[norm] if text is None else parse_eps(text, norm)
