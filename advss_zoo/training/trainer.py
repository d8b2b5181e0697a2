"""The one loop behind every checkpoint: minimise over theta the mean of max over delta of l(theta, T(x) + delta).

data -> augmentation -> transform -> adversary -> loss -> step -> record. Which objective, which adversary and what
trains come from the recipe (eq. 1 and Table 1 of Chen et al. 2020).

Everything random is a function of the recipe's seed and of the step, epoch or image it belongs to; no generator has
a state to lose. So a run killed at any moment and resumed from its last saved state ends with the same weights.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from advss_zoo.attacks.threat import Loss
from advss_zoo.data import load as data
from advss_zoo.data.splits import train_validation_split
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import remove_leftovers, write_atomically
from advss_zoo.models.modes import frozen
from advss_zoo.models.resnetv2 import ResNetV2
from advss_zoo.objectives.base import Batch
from advss_zoo.training import curves, log, state
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import learning_rate
from advss_zoo.zoo import checkpoint

SAVE_EVERY = 60.0  # seconds between full states: what a kill can cost
LOG_EVERY = 50  # steps between records of the training loss
VALIDATION_BATCH = 250
SPLIT_SEED = 20  # one split for every stage and every recipe

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what was last seen


def derived_seed(seed: int, purpose: str, moment: int) -> int:
    """An independent 56-bit seed for each purpose and each moment of a run."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{moment}".encode()).digest()[:7])


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress = lambda done, total, note: None,
) -> Path:
    """Run a recipe in the folder `out`; returns the checkpoint folder that the recipe ships.

    The folder holds the resolved recipe, log.jsonl, curves.png, the full state, and a checkpoint folder each for
    the weights `best-ta`, `best-ra` (both picked on validation), `average` and `last`.

    Raises:
        UsageError: `out` holds another recipe's run, or an unfinished one and `resume` is false.
        AdvssError: the loss is no longer finite, or the disk is full; the last saved state stays.
    """
    _claim(out, recipe, resume)
    trainer = Trainer(recipe, out, torch.device(device))
    trainer.run(progress)
    return out / recipe.ship


def _claim(out: Path, recipe: Recipe, resume: bool) -> None:
    kept = out / "recipe.yaml"
    if kept.exists():
        if kept.read_text(encoding="utf-8") != recipe.to_yaml():
            raise UsageError(f"{out} holds a run of another recipe.", "Choose another --out, or delete it.")
        if not resume:
            raise UsageError(
                f"{out} already holds this run.", "Add --resume to go on with it, or choose another --out."
            )
    remove_leftovers(out)
    write_atomically(kept, lambda file: file.write(recipe.to_yaml().encode()))


class Trainer:
    """A recipe, the data it trains on and the state of its run."""

    def __init__(self, recipe: Recipe, out: Path, device: torch.device) -> None:
        self.recipe, self.out, self.device = recipe, out, device
        self._load_data()
        torch.manual_seed(recipe.seed)
        self.model = ResNetV2(recipe.architecture).to(device).to(memory_format=torch.channels_last)
        self.optimizer = self._make_optimizer()
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging.decay), use_buffers=True
        )
        self.steps_per_epoch = -(-len(self.labels) // recipe.batch_size)
        self.total_steps = recipe.epochs * self.steps_per_epoch
        self.step = 0
        self.seconds = 0.0
        self.best = {"ta": -1.0, "ra": -1.0}
        self._restore()

    def run(self, progress: Progress) -> None:
        """Train from the current step to the last."""
        log.rewind(self.log_file, self.step)
        started, saved, note = time.monotonic() - self.seconds, time.monotonic(), ""
        progress(self.step, self.total_steps, note)
        while self.step < self.total_steps:
            loss = self._train_step()
            self.seconds = time.monotonic() - started
            if self.step % LOG_EVERY == 0:
                self._record(loss=self._finite(loss), lr=self._learning_rate(self.step - 1))
            if self._validation_is_due():
                note = self._validate()
            if time.monotonic() - saved > SAVE_EVERY or self.step == self.total_steps:
                self._finite(loss)  # weights that are lost never take the place of a state that is not
                self._save()
                saved = time.monotonic()
            progress(self.step, self.total_steps, note)
        self._export("last", self.model)
        self._export("average", self.average.module)

    # --- one step -------------------------------------------------------------------------------------------------

    def _train_step(self) -> Tensor:
        batch = self._batch()
        torch.manual_seed(self._seed("model", self.step))  # for what a model draws itself, such as dropout
        inputs = self._perturbed(batch)
        self.model.train()
        if self.recipe.trains == "head":
            self.model.trunk.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        with self._autocast():
            loss = self.recipe.objective.loss(self.model, inputs, batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        # Until averaging starts, the average is the model itself.
        if self.step <= self.recipe.averaging.start * self.total_steps:
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.model)
        return loss.detach()

    def _batch(self) -> Batch:
        epoch, position = divmod(self.step, self.steps_per_epoch)
        size = self.recipe.batch_size
        index = self._order(epoch)[position * size : (position + 1) * size]
        images = self.recipe.augmentation(self.images[index], index, self._seed("augmentation", epoch))
        return self.recipe.objective.transform(images, self.labels[index], index, self._seed("transform", epoch))

    def _perturbed(self, batch: Batch) -> Tensor:
        adversary, progress = self.recipe.phase(self.step / self.total_steps)
        seed = self._seed("adversary", self.step // self.steps_per_epoch)
        with frozen(self.model):
            loss = self._attack_loss(self.model, batch)
            return adversary.perturb(loss, batch.inputs, index=batch.index, seed=seed, progress=progress)

    def _attack_loss(self, model: nn.Module, batch: Batch) -> Loss:
        def loss(inputs: Tensor) -> Tensor:
            with self._autocast():
                return self.recipe.objective.attack_loss(model, inputs, batch)

        return loss

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.recipe.schedule, step, self.total_steps)

    def _order(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed("order", epoch))
        return torch.randperm(len(self.labels), generator=generator).to(self.device)

    def _seed(self, purpose: str, moment: int) -> int:
        return derived_seed(self.recipe.seed, purpose, moment)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def _finite(self, loss: Tensor) -> float:
        value = float(loss)
        if not math.isfinite(value):
            raise AdvssError(f"The loss is {value} at step {self.step}.", "Lower the peak of `schedule`.")
        return value

    # --- validation -----------------------------------------------------------------------------------------------

    def _validation_is_due(self) -> bool:
        epoch, rest = divmod(self.step, self.steps_per_epoch)
        return rest == 0 and (epoch % self.recipe.validation.every == 0 or self.step == self.total_steps)

    def _validate(self) -> str:
        """Measure TA and RA on held-out training images, keep the weights that are the best so far in either."""
        model = self.average.module
        measured = dict(zip(("ta", "ra"), self._accuracies(model), strict=True))
        for kind, accuracy in measured.items():
            if accuracy > self.best[kind]:
                self.best[kind] = accuracy
                self._export(f"best-{kind}", model)
        self._record(validation=measured)
        curves.draw(log.read(self.log_file), self.out / "curves.png")
        return "validation TA {ta:.1%} RA {ra:.1%}".format(**measured)

    def _accuracies(self, model: nn.Module) -> tuple[float, float]:
        attack = self.recipe.validation.attack
        objective, clean, robust = self.recipe.objective, 0, 0
        with frozen(model):
            for index in torch.arange(len(self.validation_labels), device=self.device).split(VALIDATION_BATCH):
                images = self.validation_images[index].float().div(255).contiguous(memory_format=torch.channels_last)
                batch = objective.transform(images, self.validation_labels[index], index, self._seed("validation", 0))
                loss = self._attack_loss(model, batch)
                adversarial = attack.perturb(
                    loss, batch.inputs, index=index, seed=self._seed("validation", 1), progress=1
                )
                with torch.no_grad(), self._autocast():
                    right = objective.correct(model, batch.inputs, batch)
                    clean += int(right.sum())
                    robust += int((right & objective.correct(model, adversarial, batch)).sum())
        return clean / len(self.validation_labels), robust / len(self.validation_labels)

    # --- what is kept ---------------------------------------------------------------------------------------------

    @property
    def log_file(self) -> Path:
        return self.out / "log.jsonl"

    @property
    def state_file(self) -> Path:
        return self.out / "state.safetensors"

    def _record(self, **facts: Any) -> None:
        adversary, _ = self.recipe.phase((self.step - 1) / self.total_steps)
        known = {
            "step": self.step,
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "seconds": round(self.seconds, 1),
        }
        log.append(self.log_file, known | {"adversary": adversary.name} | facts)

    def _export(self, picked: str, model: nn.Module) -> None:
        recipe = self.recipe
        config = checkpoint.Config(
            name=recipe.name,
            tag=recipe.tag,
            task=recipe.task,
            scenario=recipe.scenario,
            architecture=recipe.architecture,
            classes=self.classes,
            provenance=checkpoint.Provenance(
                recipe=recipe.full_name,
                recipe_sha256=recipe.sha256,
                profile=recipe.profile,
                data=recipe.data,
                split=f"train, {len(self.labels)} images, split seed {SPLIT_SEED}",
                picked=picked,
                epochs=self.step / self.steps_per_epoch,
            ),
        )
        checkpoint.save(self.out / picked, model.state_dict(), config)
        write_atomically(self.out / picked / "recipe.yaml", lambda file: file.write(recipe.to_yaml().encode()))

    def _save(self) -> None:
        momentum = {
            name: self.optimizer.state[parameter]["momentum_buffer"]
            for name, parameter in self.model.named_parameters()
            if parameter in self.optimizer.state
        }
        groups = {"model": self.model.state_dict(), "average": self.average.state_dict(), "momentum": momentum}
        state.save(self.state_file, groups, {"step": self.step, "seconds": self.seconds, "best": self.best})

    def _restore(self) -> None:
        if not self.state_file.exists():
            return
        groups, facts = state.load(self.state_file)
        self.model.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        parameters = dict(self.model.named_parameters())
        for name, buffer in groups.get("momentum", {}).items():
            parameter = parameters[name]
            self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(buffer)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]

    # --- what is prepared -----------------------------------------------------------------------------------------

    def _load_data(self) -> None:
        """All training images, as bytes, on the device. The test images are never read here."""
        everything = data.load(self.recipe.data, "train")
        training, validation = train_validation_split(len(everything), seed=SPLIT_SEED)
        validation = validation[: self.recipe.validation.images]
        self.classes = everything.classes
        images, labels = torch.from_numpy(everything.images), torch.from_numpy(everything.labels)
        self.images, self.labels = images[training].to(self.device), labels[training].to(self.device)
        self.validation_images = images[validation].to(self.device)
        self.validation_labels = labels[validation].to(self.device)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        options = self.recipe.optimizer
        trained = self.model if self.recipe.trains == "all" else self.model.head
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in trained.parameters():
            parameter.requires_grad_(True)
        kernels = [parameter for parameter in trained.parameters() if parameter.ndim >= 2]
        rest = [parameter for parameter in trained.parameters() if parameter.ndim < 2]
        return torch.optim.SGD(
            [{"params": kernels, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=0.0,
            momentum=options.momentum,
            nesterov=options.nesterov,
        )
