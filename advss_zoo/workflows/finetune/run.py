"""Fine-tuning: plan, train, measure, and write a card and a page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advss_zoo.attacks.eps import parse_eps
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.prepared import Prepared, prepare
from advss_zoo.data.load import is_own
from advss_zoo.errors import AdvssError, DataError, UsageError, all_mistakes
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.ball import DEFAULT_EPS
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result, result_slug
from advss_zoo.files import explained
from advss_zoo.models.devices import pick_device
from advss_zoo.models.model import Model
from advss_zoo.progress import Progress, Reporter, Say, ignore
from advss_zoo.texts import expected, parse_duration
from advss_zoo.training import cost, trainer
from advss_zoo.training import recipe as recipes
from advss_zoo.training.assembly import assemble
from advss_zoo.training.calibration import calibrate
from advss_zoo.training.cost import Cost
from advss_zoo.training.recipe import Recipe
from advss_zoo.workflows.evaluate import without_seen
from advss_zoo.workflows.finetune import outcome, planning
from advss_zoo.workflows.finetune.planning import (
    EXAMPLES,
    PROTOCOL,
    SCRATCH,
    FinetuneOptions,
    Mode,
    Norm,
    Plan,
    Start,
    TrainingLoss,
)
from advss_zoo.workflows.measure import measure
from advss_zoo.zoo import RESULTS, index
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.runs import RECIPE, RUNS


@dataclass(frozen=True)
class PlannedRun:
    """What fine-tuning will do, in which folder, and what each recipe costs on this machine."""

    plan: Plan
    data: Prepared
    folder: Path
    device: str
    estimates: tuple[Cost, ...]

    def describe(self) -> list[str]:
        """Say in a line for each recipe what is trained, how, and how long that takes."""
        mode, lines = self.plan.options.mode.upper(), []
        for recipe, estimate in zip(self.plan.recipes, self.estimates, strict=True):
            frozen = f", the trunk frozen for the first {recipe.head_first:.0%}" if recipe.head_first else ""
            first = recipe.adversary[0]
            ramp = f", eps from 0 over the first {first.until:.0%}" if getattr(first, "eps_start", None) == 0 else ""
            weighted = ", class-weighted loss" if getattr(recipe.objective, "class_weights", ()) else ""
            lines.append(
                f"{recipe.full_name}: {mode} from {recipe.parent or SCRATCH}, {recipe.epochs} epochs of "
                f"{estimate.steps // recipe.epochs:,} steps{frozen}, {recipe.adversary[-1].name}{ramp}, "
                f"{estimate.passes_per_image:.2g} passes per image{weighted}; "
                f"{expected(estimate.seconds, estimate.seconds_now)} ({self.device})."
            )
        return lines


@dataclass(frozen=True)
class FinetunedRun:
    """What came of fine-tuning.

    Attributes:
        name: by which commands and `load_model` know it.
        checkpoint: the folder of the weights, in `folder`, that of the run.
        result: TA and RA on test images that had no part in training.
        card, report: a page of Markdown, and one of HTML.
        seconds: that it took, planning included.
        plan: with the recipes as they were run.
        data: the images, and how they were divided.
    """

    name: str
    folder: Path
    checkpoint: Path
    result: Result
    card: Path
    report: Path
    seconds: float
    plan: Plan
    data: Prepared
    device: str

    @cached_property
    def model(self) -> Model:
        """The classifier, which is opened when it is first asked for."""
        return open_model(self.checkpoint, self.device)


def finetune(
    data: str | Path,
    *,
    start: str | Path | None = None,
    mode: Mode = "f4",
    norm: Norm = "linf",
    eps: float | str | None = None,
    objective: TrainingLoss = "classification",
    teacher: str | None = None,
    epochs: int | None = None,
    budget: float | str | None = None,
    image_size: int | None = None,
    parts: Mapping[str, Part] | None = None,
    group_by: str | None = None,
    truncated: bool = False,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = ignore,
    say: Say = ignore,
) -> FinetunedRun:
    """Make a robust classifier of a folder of images.

    Images to test on are set aside, the rest is trained on; TA and RA (PGD-20) are measured on up to 1,000 of the
    former. A checkpoint with a card, and a page about the run, stay in `out`.

    Args:
        data: a folder of class folders, or a CSV or JSONL table of path,label.
        start: a trunk, classifier or ensemble to start from, as for `load_model`; "scratch"; None: the zoo's best
            trunk.
        mode: the head alone (f1, f2) or the trunk as well (f3, f4), without (f1, f3) or with an adversary (f2, f4).
        norm: of the threat model.
        eps: its size in units of pixel values in [0,1], such as 4/255 or "4/255"; None: 8/255, for l2 0.5.
        objective: the loss that is minimised.
        teacher: a model whose soft labels are learned, as for `load_model`, or "self"; "rslad" needs one.
        epochs: passes over the training images; None: the fewer images, the more.
        budget: seconds, or a text such as "10m" or "1h", for everything up to the page: epochs and attack steps are
            chosen by it, and training is shortened on the way where it takes longer than planned.
        image_size: pixels a side; None: what `start` was made for.
        parts: which folders, or entries of the table's column, are "train", "val" and "test", by name, where their
            names do not say it: {"batch_7": "test"}.
        group_by: a column of the table, or a regular expression on paths, that tells which images belong together, as
            those of one patient, video or camera: they lie on one side of the division.
        truncated: use what there is of JPEGs that were cut off.
        overrides: changes to the recipe, such as "augmentation.flip=false".
        out: the folder of the run; None: runs/NAME.TAG.
        resume: go on with the run in `out`.
        progress: called with what is worked on, the unit it is counted in, units done, units in all, and a note.
        say: called with lines of text: what was found in the folder, what is planned.

    Raises:
        UsageError: options contradict each other, `start` means nothing, the budget is too small for an epoch, or `out`
            holds another run.
        DataError: the images are not enough, or cannot be read.
        CheckpointError: the weights to start from cannot be had.
        AdvssError: training diverges, or the disk is full.
    """
    request = _Request.of(
        data, start=start, mode=mode, norm=norm, eps=eps, objective=objective, teacher=teacher,
        epochs=epochs, budget=budget, image_size=image_size, parts=parts, group_by=group_by,
        truncated=truncated, overrides=overrides, out=out, device=device, progress=progress, say=say,
    )  # fmt: skip
    kept = planning.read_plan(request.folder)
    if kept and not resume:
        raise UsageError(
            f"{request.folder} already holds a run.", "Add --resume to continue it, or choose another --out."
        )
    return request.carry_out(request.plan(kept), resume)


def plan_finetuning(data: str | Path, **options: Any) -> PlannedRun:
    """Look at the images, and plan what `finetune` would do with the same options; train nothing.

    Raises:
        AdvssError: as `finetune` before it trains.
    """
    return _Request.of(data, **options).plan()


@dataclass(frozen=True)
class _Request:
    """What is asked for, the trunks to start from, and where it is to be done; `asked` is when, on the clock."""

    options: FinetuneOptions
    starts: list[Start]
    folder: Path
    device: str
    progress: Progress
    say: Say
    asked: float

    @classmethod
    def of(
        cls,
        data: str | Path,
        *,
        start: str | Path | None = None,
        norm: Norm = "linf",
        eps: float | str | None = None,
        budget: float | str | None = None,
        image_size: int | None = None,
        parts: Mapping[str, Part] | None = None,
        overrides: Sequence[str] = (),
        out: str | Path | None = None,
        device: str = "auto",
        progress: Progress = ignore,
        say: Say = ignore,
        **more: Any,
    ) -> _Request:
        asked, where = time.monotonic(), pick_device(device)
        size = DEFAULT_EPS.get(norm, 0.0) if eps is None else parse_eps(eps, norm)
        seconds = None if budget is None else parse_duration(budget)
        path, runs = _recipe_path(data), Path(out).parent if out else RUNS
        start = str(start or index.default_trunk())
        starts = planning.starts(start, runs)
        known = {"data": path, "parts": parts or {}, "start": start, "norm": norm, "eps": size, "budget": seconds}
        side = image_size or planning.image_size(starts)
        try:
            options = FinetuneOptions.model_validate({**known, "image_size": side, "overrides": overrides, **more})
        except ValidationError as error:
            raise UsageError(all_mistakes(error, FinetuneOptions.model_fields)) from error
        options.check(starts)
        folder = Path(out) if out else runs / planning.full_name(options, starts)
        return cls(options, starts, folder, where, progress, say, asked)

    def plan(self, kept: Plan | None = None) -> PlannedRun:
        """Look at the images, and plan unless a plan was kept."""
        prepared = self._prepare()
        if kept:
            planning.check_same(kept, self.options, prepared)
        self.say(f"Estimating the time on this machine ({self.device}) ...")
        spent = time.monotonic() - self.asked
        plan = kept or planning.plan(
            self.options, self.starts, prepared, spent=spent, device=self.device, beside=self.folder.parent
        )
        images = prepared.summary.parts["train"]
        estimates = (cost.estimate(recipe, device=self.device, images=images) for recipe in plan.recipes)
        planned = PlannedRun(plan, prepared, self.folder, self.device, tuple(estimates))
        for line in planned.describe():
            self.say(line)
        return planned

    def _prepare(self) -> Prepared:
        source, options = Path(self.options.data), self.options.folder_options
        prepared = prepare(source, self.options.image_size, options, reporter=Reporter(self.say, self.progress))
        if not prepared.summary.parts["train"]:
            raise DataError(
                f"All images in {source} are test images.", "Add training images in a folder train/ next to test/."
            )
        for line in prepared.summary.lines():
            self.say(line)
        return prepared

    def carry_out(self, planned: PlannedRun, resume: bool) -> FinetunedRun:
        plan, data = planned.plan, planned.data
        plan.write(self.folder)
        checkpoint, runs = self._train(plan, resume)
        plan = replace(plan, recipes=tuple(recipes.load(run / RECIPE) for run in runs))  # as they were run
        validation = min(plan.recipes[0].validation.images, data.held_out)
        calibrate(checkpoint, data.load("train").first(validation), self.device)
        try:
            result, card = self._measure(plan, data, checkpoint, runs)
        except AdvssError as error:  # such as gradients that are exactly 0
            error.hint = f"The checkpoint is finished: {checkpoint}. {error.hint or ''}".rstrip()
            raise
        return FinetunedRun(
            name=outcome.called(checkpoint),
            folder=self.folder,
            checkpoint=checkpoint,
            result=result,
            card=card,
            report=outcome.report(self.folder, data.load("test").first(plan.test_images)),
            seconds=time.monotonic() - self.asked,
            plan=plan,
            data=data,
            device=self.device,
        )

    def _train(self, plan: Plan, resume: bool) -> tuple[Path, list[Path]]:
        """Return the checkpoint, and the folder of each recipe's run."""
        alone, trained = len(plan.recipes) == 1, []
        runs = [self.folder if alone else self.folder / recipe.full_name for recipe in plan.recipes]
        for recipe, run in zip(plan.recipes, runs, strict=True):
            progress = partial(self.progress, recipe.full_name, "steps")
            trained.append(
                trainer.train(recipe, run, resume=resume, device=self.device, progress=progress, budget=plan.budget)
            )
            self._tell(recipes.load(run / RECIPE), run)
        return trained[0] if alone else assemble(plan.ensemble(trained), self.folder), runs

    def _tell(self, made: Recipe, run: Path) -> None:
        """Say where training was shorter than planned, and why."""
        length = f"{round(made.length, 1):g}"
        if made.shortened:
            self.say(
                f"{made.full_name}: shortened from {made.epochs} to {length} epochs to keep to the budget, as "
                "they took longer than planned."
            )
        if epochs := outcome.stopped(made, run):
            self.say(
                f"{made.full_name}: stopped after {epochs:g} of {length} epochs, as validation accuracy "
                f"did not improve in {made.validation.patience} validations; the best weights are kept."
            )

    def _measure(self, plan: Plan, data: Prepared, checkpoint: Path, runs: list[Path]) -> tuple[Result, Path]:
        """Measure TA and RA on test images, keep adversarial images for the page, and write the card."""
        model = open_model(checkpoint, self.device)
        images = without_seen(data.load("test"), model, self.say).first(plan.test_images)
        protocol = protocols.parse(PROTOCOL, norm=plan.options.norm, eps=plan.options.eps)
        protocol = protocol.for_classes(len(images.classes))
        place = checkpoint / RESULTS / result_slug(images.name, protocol.label())
        measured = partial(measure, model, device=self.device, progress=self.progress, say=self.say)
        examples = self.folder / "examples"
        result = measured(images.first(EXAMPLES), protocol, examples, save_adversarial=True)
        if len(images) > EXAMPLES:
            result = measured(images, protocol, place)
        else:  # which were all; adversarial images do not belong to the checkpoint
            with explained("write", place):
                place.mkdir(parents=True, exist_ok=True)
                for name in (RESULT_FILE, VERDICTS_FILE):
                    shutil.copyfile(examples / name, place / name)
        return result, outcome.finish(plan, data.summary, checkpoint, runs, place, result)


def _recipe_path(data: str | Path) -> str:
    """Return the path as a recipe names it: with a ./ where a data set goes by the same name.

    Raises:
        UsageError: it cannot be stored as text.
    """
    try:
        str(data).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"Path {data} is not valid UTF-8, so it cannot be stored in a recipe.", "Rename it."
        ) from error
    return str(data) if is_own(str(data)) else f"./{data}"
