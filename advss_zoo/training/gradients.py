"""The loss of a step and its gradients: images -> augmentation -> transform -> adversary -> loss -> backward.

Everything random is a function of the recipe's seed and of the step, epoch or image it belongs to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advss_zoo.models import fused
from advss_zoo.models.modes import frozen
from advss_zoo.models.network import Network
from advss_zoo.objectives.base import Batch
from advss_zoo.seeds import derived_seed
from advss_zoo.training.distributed import DistributedContext, Share
from advss_zoo.training.divergence import attacking
from advss_zoo.training.examples import Examples, resized
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Timeline
from advss_zoo.training.teacher import Teacher


class TrainingLoss(nn.Module):
    """What is minimised, as one module: so that a wrapper of several processes sees all of it."""

    def __init__(self, recipe: Recipe, network: Network) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network

    def forward(self, inputs: Tensor, batch: Batch) -> Tensor:
        return self.recipe.objective.training_loss(self.network, inputs, batch, self.recipe.clean_weight)


class Gradients:
    """What a recipe does with the images of a step before the optimiser moves the weights."""

    def __init__(
        self,
        recipe: Recipe,
        model: Network,
        teacher: Teacher | None,
        examples: Examples,
        timeline: Timeline,
        context: DistributedContext,
    ) -> None:
        self._recipe, self._model, self._teacher, self._examples = recipe, model, teacher, examples
        self._timeline, self._context = timeline, context
        self._precision = Precision(recipe.precision, context.device)
        self._ordered = (-1, torch.empty(0, dtype=torch.long))  # an epoch, and the order of its images
        self._head_alone: bool | None = None
        self._loss: nn.Module
        first_order = not recipe.objective.attacks_by_second_derivatives
        self._fused = recipe.attack_mode == "eval" and first_order and fused.suits(model, self._precision.dtype)

    def compute(self, step: int) -> Tensor:
        """Add the gradients of a step to those of the weights; returns the loss over the whole batch.

        Raises:
            DivergenceError: the adversary met a gradient that is not finite.
        """
        self._choose_what_trains(step)
        losses = []
        for share in self._context.shares(self._loss, self._index(step), self._statistics()):
            loss = self._share_loss(share, step)
            self._context.backward(loss)
            losses.append(loss.detach())
        return self._context.mean(torch.stack(losses).sum())

    def _choose_what_trains(self, step: int) -> None:
        """Freeze the trunk, or let it go, where the recipe says so."""
        alone = self._recipe.head_alone(self._timeline.progress(step))
        if alone is self._head_alone:
            return
        self._head_alone = alone
        self._model.trunk.requires_grad_(not alone)
        # Anew, for processes agree beforehand on the gradients that they exchange.
        self._loss = self._context.prepare(TrainingLoss(self._recipe, self._model))

    def _share_loss(self, share: Share, step: int) -> Tensor:
        """The loss of a part of the batch, weighted so that the mean over all processes is that of the batch."""
        batch = self._batch(share.index, step)
        # For what a model draws itself, such as dropout.
        torch.manual_seed(self._seed(f"model/{share.number}" if share.number else "model", step))
        inputs = self._perturbed(batch, step)
        self._set_modes()
        with self._precision():
            loss: Tensor = self._loss(inputs, batch)
        return loss * share.weight

    def _set_modes(self) -> None:
        """Training mode, but for batch norm that the recipe freezes."""
        self._model.train()
        if self._head_alone and self._recipe.frozen_statistics:
            self._model.trunk.eval()
        if self._recipe.normalize_by == "running":
            for module in self._model.modules():
                if getattr(module, "running_mean", None) is not None:
                    module.eval()

    def _index(self, step: int) -> Tensor:
        """The positions of the images of this step."""
        epoch, position = divmod(step, self._timeline.steps_per_epoch)
        size = self._recipe.batch_size
        return self._order(epoch)[position * size : (position + 1) * size]

    def _order(self, epoch: int) -> Tensor:
        if self._ordered[0] != epoch:
            generator = torch.Generator().manual_seed(self._seed("order", epoch))
            order = torch.randperm(len(self._examples), generator=generator)
            self._ordered = epoch, order.to(self._context.device)
        return self._ordered[1]

    def _batch(self, index: Tensor, step: int) -> Batch:
        recipe, epoch = self._recipe, step // self._timeline.steps_per_epoch
        side = recipe.side_at(self._timeline.progress(step))
        augmented = recipe.augmentation.scaled(side / recipe.side)
        images = augmented(resized(self._examples.images(index), side), index, self._seed("augmentation", epoch))
        labels = self._examples.labels[index]
        batch = recipe.objective.transform(images, labels, index, self._seed("transform", epoch))
        return self._teacher.label(batch, self._timeline.progress(step)) if self._teacher else batch

    def _perturbed(self, batch: Batch, step: int) -> Tensor:
        adversary, progress = self._recipe.phase(self._timeline.progress(step))
        seed = self._seed("adversary", step // self._timeline.steps_per_epoch)
        with frozen(self._model):
            if self._recipe.attack_mode == "train":  # as the paper's authors have it
                self._set_modes()
            network = fused.FusedNetwork(self._model, self._precision.dtype) if self._fused else self._model
            loss = self._precision.attack_loss(self._recipe.objective, network, batch)
            with attacking():
                return adversary.perturb(loss, batch.inputs, index=batch.index, seed=seed, progress=progress)

    def _statistics(self) -> list[Tensor]:
        """The running statistics of batch norm."""
        names = ("running_mean", "running_var")
        return [buffer for name, buffer in self._model.named_buffers() if name.endswith(names)]

    def _seed(self, purpose: str, moment: int) -> int:
        return derived_seed(self._recipe.seed, purpose, moment)
