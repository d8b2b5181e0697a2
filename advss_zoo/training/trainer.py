"""The one loop behind every checkpoint: minimise over theta the mean of max over delta of l(theta, T(x) + delta).

data -> augmentation -> transform -> adversary -> loss -> step -> record. Which objective, which adversary and what
trains come from the recipe (eq. 1 and Table 1 of Chen et al. 2020).

Everything random is a function of the recipe's seed and of the step, epoch or image it belongs to; no generator has
a state to lose. So a run killed at any moment and resumed from its last saved state ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from advss_zoo.data import load as data
from advss_zoo.data.splits import train_and_validation
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import explained, read_json, remove_leftovers, write_atomically, write_json
from advss_zoo.memory import keep_freed_memory
from advss_zoo.models.arithmetic import ieee_float32
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.modes import frozen
from advss_zoo.models.resnetv2 import Network
from advss_zoo.objectives.base import Batch
from advss_zoo.seeds import derived_seed
from advss_zoo.training import cost, curves, log, parents, state
from advss_zoo.training.board import Board
from advss_zoo.training.crew import Crew, Share
from advss_zoo.training.examples import Examples, resized
from advss_zoo.training.parents import Inherited, inherit_trunk
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe, load
from advss_zoo.training.schedules import learning_rate
from advss_zoo.training.speeds import Stopwatch
from advss_zoo.training.validation import accuracies
from advss_zoo.zoo import CONFIG, WEIGHTS, checkpoint
from advss_zoo.zoo.runs import CURVES, LAST, RECIPE

LOG = "log.jsonl"
STATE = "state.safetensors"
PARENT = "parent.json"  # of which weights the trunk was inherited

SAVE_EVERY = 60.0  # seconds between full states: what a kill can cost
COLLAPSE = 0.6  # RA below this part of the best so far, and 10 points or more below it, is catastrophic overfitting
EXPLODED = 1_000.0  # no loss of these objectives is so large, unless training has diverged
LOG_EVERY = 50  # steps between records of the training loss

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what was last seen


def _silent(done: int, total: int, note: str) -> None:
    pass


_Tensors = tuple[Tensor, ...] | list[Tensor]


def _moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """An exponential moving average that leaves integers (counters, permutations) as they are in the model."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)

    return update


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress = _silent,
) -> Path:
    """Run a recipe in the folder `out`; returns the checkpoint folder that the recipe ships.

    With `validation.patience` training stops where it leads no further; the epochs of `last` say when that was.
    The folder holds the resolved recipe, log.jsonl, TensorBoard's events, curves.png, the full state, and a checkpoint
    folder each for the weights `best-ta`, `best-ra` (both picked on validation), `average` and `last`.

    Raises:
        UsageError: `out` holds another recipe's run, or an unfinished one and `resume` is false, or another process
            trains in it, or the images are no longer those that the run was begun with.
        AdvssError: the loss is no longer finite, or the disk is full; the last saved state stays.
    """
    keep_freed_memory()
    crew = Crew(device, recipe.accumulation)
    _check_claim(out, recipe, resume)
    crew.wait()
    trainer = Trainer(recipe, out, crew)  # before the folder is claimed: data or parent may be missing
    crew.wait()
    with _alone(out) if crew.is_first else nullcontext(), ieee_float32():
        if crew.is_first:
            _sweep(out)
            write_atomically(out / RECIPE, lambda file: file.write(recipe.to_yaml().encode()))
        begun = trainer.step
        with Stopwatch(crew.device) as watch:
            trainer.run(progress)
        if crew.total == recipe.accumulation:  # one process
            records = [record for record in log.read(trainer.log_file) if record["step"] > begun]
            cost.remember_run(recipe, records, trainer.total_steps, watch)
    return out / recipe.ship


def _sweep(out: Path) -> None:
    """Delete what a kill left of the files of a run."""
    remove_leftovers(out, RECIPE, CURVES, PARENT, LOG, STATE)
    for picked in get_args(Recipe.model_fields["ship"].annotation):
        remove_leftovers(out / picked, RECIPE, CONFIG, WEIGHTS)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder of a run.

    Raises:
        UsageError: another process does.
    """
    with explained("write", out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"Another process is training in {out}.", "Wait for it, or choose another --out."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _check_claim(out: Path, recipe: Recipe, resume: bool) -> None:
    """Is the folder free, or that of this run? How a batch is cut into shares is checked with the state."""
    kept = out / RECIPE
    if not kept.exists():
        return
    if load(kept).model_copy(update={"accumulation": recipe.accumulation}) != recipe:
        raise UsageError(f"{out} holds a run of another recipe.", "Choose another --out, or delete it.")
    if not resume:
        raise UsageError(f"{out} already holds this run.", "Add --resume to go on with it, or choose another --out.")


class _TrainingLoss(nn.Module):
    """What is minimised, as one module: so that a wrapper of several processes sees all of it."""

    def __init__(self, recipe: Recipe, network: Network) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network

    def forward(self, inputs: Tensor, batch: Batch) -> Tensor:
        return self.recipe.objective.training_loss(self.network, inputs, batch, self.recipe.clean_weight)


class Trainer:
    """A recipe, the data it trains on and the state of its run."""

    def __init__(self, recipe: Recipe, out: Path, crew: Crew) -> None:
        self.recipe, self.out, self.crew, self.device = recipe, out, crew, crew.device
        self.precision = Precision(recipe.precision, crew.device)
        self._load_data()
        torch.manual_seed(recipe.seed)
        self.model = recipe.objective.build(recipe.architecture).to(self.device).to(memory_format=torch.channels_last)
        self.inherited = self._inherit_trunk()
        self.optimizer = self._make_optimizer()
        self.average = AveragedModel(self.model, multi_avg_fn=_moving_average(recipe.averaging.decay), use_buffers=True)
        self.steps_per_epoch = -(-len(self.training) // recipe.batch_size)
        self.total_steps = recipe.epochs * self.steps_per_epoch
        self.step = 0
        self.seconds = 0.0
        self.best = {"ta": -1.0, "ra": -1.0}
        self.waited = 0  # validations since the best of what ships
        self._restore()
        self.ordered = (-1, torch.empty(0, dtype=torch.long))  # an epoch, and the order of its images
        self.head_alone: bool | None = None
        self._choose_what_trains()

    def run(self, progress: Progress) -> None:
        """Train from the current step to the last; the first process alone tells of it."""
        if self.crew.is_first:
            log.rewind(self.log_file, self.step)
            self.board = Board(self.out, self.step)
        else:
            progress = _silent
        started, saved, note = time.monotonic() - self.seconds, time.monotonic(), ""
        progress(self.step, self.total_steps, note)
        worst = torch.zeros((), device=self.device)
        while not self._is_over:
            loss = self._train_step()
            worst = torch.maximum(worst, loss.abs())  # of all, for a net that is lost may be back at chance soon
            self.seconds = time.monotonic() - started
            if self.step % LOG_EVERY == 0:
                self._check_loss(worst)
                self._record(loss=float(loss), lr=self._learning_rate(self.step - 1))
            if self._validation_is_due():
                self._check_loss(worst)
                note = self._validate()
            if time.monotonic() - saved > SAVE_EVERY or self._is_over:
                self._check_loss(worst)
                self._save()
                saved = time.monotonic()
            progress(self.step, self.total_steps, note)
        self._check_frozen_trunk()
        self._export("average", self._averaged)
        self._export(LAST, self.model)  # the last to be written: a run that has it is finished

    @property
    def _is_over(self) -> bool:
        patience = self.recipe.validation.patience
        return self.step >= self.total_steps or (patience is not None and self.waited >= patience)

    # --- one step -------------------------------------------------------------------------------------------------

    def _train_step(self) -> Tensor:
        """One step of the optimiser; returns the loss over the whole batch."""
        self._choose_what_trains()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        self.optimizer.zero_grad()
        losses = []
        for share in self.crew.shares(self.loss, self._index(), self._statistics()):
            loss = self._share_loss(share)
            self.crew.backward(loss)
            losses.append(loss.detach())
        self.optimizer.step()
        self.step += 1
        # Until averaging starts, the average is the model itself.
        if self.step <= self.recipe.averaging.start * self.total_steps:
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.model)
        return self.crew.mean(torch.stack(losses).sum())

    def _choose_what_trains(self) -> None:
        """Freeze the trunk, or let it go, where the recipe says so."""
        alone = self.recipe.head_alone(self.step / self.total_steps)
        if alone is self.head_alone:
            return
        self.head_alone = alone
        self.model.trunk.requires_grad_(not alone)
        # Anew, for processes agree beforehand on the gradients that they exchange.
        self.loss = self.crew.prepare(_TrainingLoss(self.recipe, self.model))

    def _share_loss(self, share: Share) -> Tensor:
        """The loss of a part of the batch, weighted so that the mean over all processes is that of the batch."""
        batch = self._batch(share.index)
        # For what a model draws itself, such as dropout.
        torch.manual_seed(self._seed(f"model/{share.number}" if share.number else "model", self.step))
        inputs = self._perturbed(batch)
        self._set_modes()
        with self.precision():
            loss: Tensor = self.loss(inputs, batch)
        return loss * share.weight

    def _set_modes(self) -> None:
        """Training mode, but for batch norm that the recipe freezes."""
        self.model.train()
        if self.head_alone and self.recipe.frozen_statistics:
            self.model.trunk.eval()
        if self.recipe.normalize_by == "running":
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _index(self) -> Tensor:
        """The positions of the images of this step."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        size = self.recipe.batch_size
        return self._order(epoch)[position * size : (position + 1) * size]

    def _batch(self, index: Tensor) -> Batch:
        epoch, side = self.step // self.steps_per_epoch, self.recipe.side_at(self.step / self.total_steps)
        augmented = self.recipe.augmentation.scaled(side / self.recipe.side)
        images = augmented(resized(self.training.images(index), side), index, self._seed("augmentation", epoch))
        return self.recipe.objective.transform(
            images, self.training.labels[index], index, self._seed("transform", epoch)
        )

    def _perturbed(self, batch: Batch) -> Tensor:
        adversary, progress = self.recipe.phase(self.step / self.total_steps)
        seed = self._seed("adversary", self.step // self.steps_per_epoch)
        with frozen(self.model):
            if self.recipe.attack_mode == "train":  # as the paper's authors have it
                self._set_modes()
            loss = self.precision.attack_loss(self.recipe.objective, self.model, batch)
            with self._attacking():
                return adversary.perturb(loss, batch.inputs, index=batch.index, seed=seed, progress=progress)

    def _statistics(self) -> list[Tensor]:
        """The running statistics of batch norm."""
        return [buffer for name, buffer in self.model.named_buffers() if name.endswith(("running_mean", "running_var"))]

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.recipe.schedule, step, self.total_steps, self.steps_per_epoch)

    def _order(self, epoch: int) -> Tensor:
        if self.ordered[0] != epoch:
            generator = torch.Generator().manual_seed(self._seed("order", epoch))
            self.ordered = epoch, torch.randperm(len(self.training), generator=generator).to(self.device)
        return self.ordered[1]

    def _seed(self, purpose: str, moment: int) -> int:
        return derived_seed(self.recipe.seed, purpose, moment)

    # --- divergence -----------------------------------------------------------------------------------------------

    def _check_loss(self, worst: Tensor) -> None:
        """
        Raises:
            AdvssError: it is not finite, or too large.
        """
        if not float(worst) < EXPLODED:
            raise self._diverged(f"The loss reached {float(worst):.4g}")

    def _check_weights(self) -> None:
        """
        Raises:
            AdvssError: one is not finite.
        """
        if not all(parameter.isfinite().all() for parameter in self.model.parameters()):
            raise self._diverged("A weight is no longer finite")

    @contextmanager
    def _attacking(self) -> Iterator[None]:
        """The attacks of this package fail where a gradient is not finite: here that is no fault of the model."""
        try:
            yield
        except AdvssError:
            raise self._diverged("A gradient is no longer finite") from None

    def _diverged(self, what: str) -> AdvssError:
        kept = f" The best weights so far are in {self.out / 'best-ra'}." if self.best["ra"] >= 0 else ""
        return AdvssError(f"{what} at step {self.step}: training has diverged.{kept}", "Lower the peak of `schedule`.")

    # --- validation -----------------------------------------------------------------------------------------------

    def _validation_is_due(self) -> bool:
        epoch, rest = divmod(self.step, self.steps_per_epoch)
        return rest == 0 and (epoch % self.recipe.validation.every == 0 or self.step == self.total_steps)

    def _validate(self) -> str:
        """Measure TA and RA on held-out training images, keep the weights that are the best so far in either.

        Raises:
            AdvssError: the robustness has collapsed (catastrophic overfitting), and the recipe has no patience, with
                which that is but a reason to stop.
        """
        with self._attacking():
            found = accuracies(self.recipe, self._averaged, self.validation, self.crew)
        measured = dict(zip(("ta", "ra"), found, strict=True))
        self._keep_best(measured)
        self._record(validation=measured)
        if self.crew.is_first:
            curves.draw(log.read(self.log_file), self.out / CURVES)
        if not self._has_collapsed(measured["ra"]):
            return "validation TA {ta:.1%} RA {ra:.1%}".format(**measured)
        if patience := self.recipe.validation.patience:
            self.waited = patience
            return "RA has collapsed, the best weights are kept"
        raise AdvssError(
            f"Catastrophic overfitting at epoch {self.step / self.steps_per_epoch:g}: RA on validation fell from "
            f"{self.best['ra']:.1%} to {measured['ra']:.1%}; the best weights are in best-ra.",
            "Give the adversary more steps or a smaller eps.",
        )

    def _keep_best(self, measured: dict[str, float]) -> None:
        """Few images make many equal accuracies, and many classes an RA that is 0 for long.

        So with patience the later of two equals is kept, and a gain in one accuracy at no loss in the one that ships
        is worth waiting for.
        """
        self.waited += 1
        gained = any(accuracy > self.best[kind] for kind, accuracy in measured.items())
        for kind, accuracy in measured.items():
            better, equal = accuracy > self.best[kind], accuracy == self.best[kind]
            if self.recipe.ship == f"best-{kind}" and (better or (equal and gained)):
                self.waited = 0
            if better or (self.recipe.validation.patience and equal):
                self.best[kind] = accuracy
                self._export(f"best-{kind}", self._averaged)

    def _has_collapsed(self, ra: float) -> bool:
        """Without an attack in training RA is expected to go; on small images, RA at full size is no measure of it."""
        progress = (self.step - 1) / self.total_steps
        if self.recipe.side_at(progress) < self.recipe.side:
            return False
        adversary, _ = self.recipe.phase(progress)
        chance = max(0.1, 2 / math.sqrt(len(self.validation)))  # of few images many fall by chance
        best = self.best["ra"]
        return adversary.passes > 0 and ra < COLLAPSE * best and best - ra > chance

    @property
    def _averaged(self) -> Network:
        assert isinstance(self.average.module, Network)
        return self.average.module

    # --- what is kept ---------------------------------------------------------------------------------------------

    @property
    def log_file(self) -> Path:
        return self.out / LOG

    @property
    def state_file(self) -> Path:
        return self.out / STATE

    def _record(self, **facts: Any) -> None:
        if not self.crew.is_first:
            return
        adversary, _ = self.recipe.phase((self.step - 1) / self.total_steps)
        known = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "seconds": round(self.seconds, 1),
        }
        log.append(self.log_file, known | {"adversary": adversary.name} | facts)
        self.board.add(self.step, facts)

    def _export(self, picked: str, model: Network) -> None:
        if not self.crew.is_first:
            return
        recipe = self.recipe
        makes = recipe.objective.makes
        config = checkpoint.Config(
            name=recipe.name,
            tag=recipe.tag,
            kind=makes,
            task=recipe.task,
            scenario=recipe.scenario,
            architecture=recipe.architecture,
            objective=recipe.objective.ships,
            image_size=recipe.side,
            classes=self.classes if makes == "classifier" else (),
            provenance=checkpoint.Provenance(
                recipe=recipe.full_name,
                recipe_sha256=recipe.sha256,
                profile=recipe.profile,
                data=self.data_name,
                split=f"train, {len(self.training):,} of {self.available:,} images",
                picked=picked,
                deployed=recipe.ship,
                norm=recipe.threat and recipe.threat.norm,
                eps=recipe.threat and recipe.threat.eps,
                epochs=self.step / self.steps_per_epoch,
                parent=self.inherited and self.inherited.parent,
                parent_sha256=self.inherited and self.inherited.weights_sha256,
            ),
        )
        with torch.device("meta"):
            shipped = recipe.objective.ships.build(recipe.architecture).state_dict()
        state = model.state_dict()
        checkpoint.save(self.out / picked, {name: state[name] for name in shipped}, config)
        write_atomically(self.out / picked / RECIPE, lambda file: file.write(recipe.to_yaml().encode()))

    def _save(self) -> None:
        """
        Raises:
            AdvssError: a weight is not finite; it never takes the place of a state that is whole.
        """
        self._check_weights()
        if not self.crew.is_first:
            return
        momentum = {
            name: self.optimizer.state[parameter]["momentum_buffer"]
            for name, parameter in self.model.named_parameters()
            if parameter in self.optimizer.state
        }
        groups = {"model": self.model.state_dict(), "average": self.average.state_dict(), "momentum": momentum}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "waited": self.waited,
            "shares": self.crew.total,
            "data": self.data_name,
        }
        state.save(self.state_file, groups, facts)

    def _restore(self) -> None:
        if not self.state_file.exists():
            return
        groups, facts = state.load(self.state_file)
        if facts.get("shares", self.crew.total) != self.crew.total:
            raise UsageError(
                f"This run was begun with {facts['shares']} shares a batch, not {self.crew.total}.",
                f"Go on with processes times accumulation = {facts['shares']}.",
            )
        if facts.get("data", self.data_name) != self.data_name:  # of a folder, the name changes with the images
            raise UsageError(
                f"The images of {self.recipe.data} have changed since the run was begun: they were {facts['data']}, "
                f"and are {self.data_name}.",
                "Put them back, or begin anew with another --out.",
            )
        self.model.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        parameters = dict(self.model.named_parameters())
        for name, buffer in groups.get("momentum", {}).items():
            parameter = parameters[name]
            self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(buffer)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]
        self.waited = facts.get("waited", 0)

    def _inherit_trunk(self) -> Inherited | None:
        """Start from the parent's trunk; parent.json in the run's folder says what was copied."""
        if self.recipe.parent is None:
            return None
        record = self.out / PARENT
        if self.state_file.exists():  # a run that is resumed needs its parent no more
            return Inherited(**read_json(record))
        inherited = inherit_trunk(self.model, parents.find(self.recipe.parent, self.out.parent, self.recipe.profile))
        if self.crew.is_first:
            write_json(record, asdict(inherited))
        return inherited

    def _check_frozen_trunk(self) -> None:
        """Nothing moved that was to be frozen."""
        if self.inherited is None or self.recipe.trains != "head" or not self.recipe.frozen_statistics:
            return
        if weights_sha256(self.model.trunk) != self.inherited.trunk_sha256_after:
            raise AdvssError("The frozen trunk has changed in training; this is a bug.")

    # --- what is prepared -----------------------------------------------------------------------------------------

    def _load_data(self) -> None:
        """The training images in two parts. The test images are never read here."""
        everything = data.load_data(self.recipe.data, "train", image_size=self.recipe.side)
        training, validation = train_and_validation(everything)
        self.data_name, self.classes, self.available = everything.name, everything.classes, len(everything)
        found = everything.images.shape[-1]
        if found != self.recipe.side:
            raise UsageError(
                f"Images of {self.data_name} have {found} pixels a side, the recipe wants {self.recipe.side}.",
                f"Add image_size={found}.",
            )
        outputs = self.recipe.architecture.num_classes
        if self.recipe.objective.makes == "classifier" and outputs != len(self.classes):
            raise UsageError(
                f"{self.recipe.data} has {len(self.classes)} classes, but the network has {outputs} outputs.",
                f"Add architecture.num_classes={len(self.classes)}.",
            )
        self.training = Examples(everything, training, self.device)
        self.validation = Examples(everything, validation[: self.recipe.validation.images], self.device)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        options = self.recipe.optimizer
        trained = self.model if self.recipe.trains == "all" else self.model.head
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in trained.parameters():
            parameter.requires_grad_(True)
        decayed = 1 if options.decays == "all" else 2
        kernels = [parameter for parameter in trained.parameters() if parameter.ndim >= decayed]
        rest = [parameter for parameter in trained.parameters() if parameter.ndim < decayed]
        return torch.optim.SGD(
            [{"params": kernels, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=0.0,
            momentum=options.momentum,
            nesterov=options.nesterov,
        )
