"""Several pretext tasks at once on one trunk: the standard ensemble (apse) and the diversity-promoted one (apdpe).

Chen et al. 2020, section 3.2: minimise over the trunk and the heads the maximum over one perturbation a task of the
sum of the tasks' losses plus lambda times the log-determinant of their input gradients (`objectives/diversity.py`).
The tasks' views of an image are stacked into one batch, so that any adversary perturbs them all, and the
regulariser is a part of what it maximises: the joint adversary of the paper is PGD on this objective.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Network
from advss_zoo.objectives.base import VIEW_STRIDE, Batch, Objective, Predictor
from advss_zoo.objectives.diversity import diversity
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie
from advss_zoo.threat import Loss

Task = Annotated[Selfie | Jigsaw | Rotation, Field(discriminator="name")]


class DiversityOptions(BaseModel):
    """The regulariser's weight inside the attack and in what is minimised, and how the gradients are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: float = Field(0.1, ge=0, description="lambda in the inner maximisation")
    outer: float = Field(0.1, ge=0, description="lambda in the outer minimisation")
    # +1 is the paper's equation: attacks are diversified, weights are trained against it. -1 is the sign of ADP.
    outer_sign: Literal[1, -1] = 1
    # The tasks see an image shuffled or turned. `task` compares pixel by pixel as it stands, as the authors' code
    # does; `image` first undoes the shuffling and turning.
    frame: Literal["task", "image"] = "task"


@dataclass(frozen=True)
class JointBatch(Batch):
    """Views of all tasks, one task after the other (M*B,3,H,W), and what each task compares its part with."""

    parts: tuple[Batch, ...]


@dataclass(frozen=True)
class Branch:
    """A joint network as one of its tasks sees it."""

    network: Predictor
    head: nn.Module

    def features(self, x: Tensor) -> Tensor:
        return self.network.features(x)

    def __call__(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Joint(Objective):
    """The weighted mean of the tasks' losses in training, their sum in attacks (Selfie's own being a sum of four)."""

    name: Literal["joint"] = "joint"
    tasks: tuple[Task, ...] = Field((Selfie(), Jigsaw(), Rotation()), min_length=2)
    weights: tuple[PositiveFloat, ...] = Field((), description="of the tasks, in their order; left out: equal ones")
    diversity: DiversityOptions | None = None

    @model_validator(mode="after")
    def _each_task_once(self) -> Joint:
        if len({task.name for task in self.tasks}) < len(self.tasks):
            raise ValueError("a task is named twice in `tasks`")
        if self.weights and len(self.weights) != len(self.tasks):
            raise ValueError(f"`weights` must be {len(self.tasks)}, one for each task, got {len(self.weights)}")
        return self

    def build(self, architecture: Architecture) -> Network:
        heads: dict[str, nn.Module] = {task.name: task.build(architecture).head for task in self.tasks}
        return Network(architecture, lambda trunk: nn.ModuleDict(heads))

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> JointBatch:
        parts = tuple(
            task.transform(images, labels, index + view * VIEW_STRIDE, seed) for view, task in enumerate(self.tasks)
        )
        inputs, everyone = (torch.cat([getattr(part, what) for part in parts]) for what in ("inputs", "index"))
        return JointBatch(inputs, targets=labels, index=everyone, parts=parts)

    def loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        return self._weighted(
            [task.loss(branch, part.inputs, part) for task, branch, part in self._views(model, inputs, batch)]
        ).mean()

    def training_loss(self, model: Predictor, inputs: Tensor, batch: Batch, clean_weight: float) -> Tensor:
        """Add the regulariser, from the same forward pass as the loss: same dropout, and statistics move once."""
        if self.diversity is None or self.diversity.outer == 0:
            return super().training_loss(model, inputs, batch, clean_weight)
        with _twice_differentiable():
            inputs = inputs.detach().requires_grad_()
            attacked = self.loss(model, inputs, batch)
            # Times their number, as the attack sums: a mean's gradients might be too short to have a direction.
            regulariser = self._diversity(attacked * len(inputs), inputs, batch) / len(batch.targets)
        loss = self.mixed(attacked, model, batch, clean_weight)
        return loss + self.diversity.outer_sign * self.diversity.outer * regulariser

    @property
    def attacks_by_second_derivatives(self) -> bool:
        return self.diversity is not None and self.diversity.inner != 0

    def attack_loss(self, model: Predictor, batch: Batch) -> Loss:
        options = self.diversity
        if options is None or options.inner == 0:
            return lambda inputs: self._summed_loss(model, inputs, batch)

        def regularised(inputs: Tensor) -> Tensor:
            with _twice_differentiable():
                summed = self._summed_loss(model, inputs, batch)
                return summed + options.inner * self._diversity(summed, inputs, batch)

        return regularised

    def correct(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Return (B, questions): every task has the same weight, however many questions it asks."""
        right = [task.correct(branch, part.inputs, part) for task, branch, part in self._views(model, inputs, batch)]
        right = [answers.view(len(answers), -1) for answers in right]
        questions = max(answers.shape[1] for answers in right)
        return torch.cat([answers.repeat(1, questions // answers.shape[1]) for answers in right], dim=1)

    @property
    def validation_objective(self) -> Objective:
        return self.model_copy(update={"diversity": None})

    def _views(self, model: Predictor, inputs: Tensor, batch: Batch) -> Iterator[tuple[Task, Branch, Batch]]:
        """Each task with its branch of the network and its share of the inputs."""
        assert isinstance(batch, JointBatch)
        heads = model.head
        assert isinstance(heads, nn.ModuleDict)
        shares = inputs.chunk(len(self.tasks))
        for task, share, part in zip(self.tasks, shares, batch.parts, strict=True):
            yield task, Branch(model, heads[task.name]), Batch(share, part.targets, part.index)

    def _summed_loss(self, model: Predictor, inputs: Tensor, batch: Batch) -> Tensor:
        """Over tasks and images."""
        return self._weighted(
            [task.attack_loss(branch, part)(part.inputs) for task, branch, part in self._views(model, inputs, batch)]
        ).sum()

    def _weighted(self, losses: list[Tensor]) -> Tensor:
        """The losses (tasks,) times weights that are 1 in the mean."""
        stacked = torch.stack(losses)
        if not self.weights:
            return stacked
        weights = stacked.new_tensor(self.weights)
        return stacked * weights / weights.mean()

    def _diversity(self, summed: Tensor, inputs: Tensor, batch: Batch) -> Tensor:
        """The regulariser, summed over images; the gradient of the summed loss holds those of all tasks."""
        (gradient,) = torch.autograd.grad(summed, inputs, create_graph=True)
        shares = gradient.chunk(len(self.tasks))
        assert self.diversity is not None
        assert isinstance(batch, JointBatch)
        if self.diversity.frame == "image":
            undone = zip(self.tasks, shares, batch.parts, strict=True)
            shares = tuple(task.undo(share, part) for task, share, part in undone)
        return diversity(shares).sum().to(summed.dtype)


def _twice_differentiable() -> AbstractContextManager[None]:
    """Fused attention has no second derivative; the plain one has."""
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context
