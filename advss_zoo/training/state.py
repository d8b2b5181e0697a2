"""What changes in the course of a run, and the safetensors file (no pickles) by which a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import write_bytes
from advss_zoo.models.network import Network
from advss_zoo.training.optimization import make_average, make_optimizer
from advss_zoo.training.recipe import Recipe
from advss_zoo.training.schedules import Shortened

# What optimisers keep of a parameter, and the groups of tensors that have it in the file.
OPTIMIZER = {"momentum_buffer": "momentum", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "step"}
Groups = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Origin:
    """What a state belongs to: a number of shares a batch, the name of the data, the sha256 of a teacher's weights."""

    shares: int
    data: str
    teacher: str | None = None


class RunState:
    """Weights, their average and the optimiser, and how far the run is.

    `best` are the best accuracies on validation so far, `waited` the validations since the best of what ships,
    `shortened` how the run went on faster than its recipe had it, `threads` how many torch had on the CPU when it
    began, on which the last bits depend.
    """

    def __init__(self, recipe: Recipe, model: Network) -> None:
        self.model = model
        self.optimizer = make_optimizer(recipe, model)
        self.average = make_average(recipe, model)
        self.step = 0
        self.seconds = 0.0
        self.best = {"ta": -1.0, "ra": -1.0}
        self.waited = 0
        self.shortened = list(recipe.shortened)
        self.threads = torch.get_num_threads()

    @property
    def averaged(self) -> Network:
        """The network whose weights are the average."""
        assert isinstance(self.average.module, Network)
        return self.average.module

    def write(self, path: Path, origin: Origin) -> None:
        """Write everything atomically, with what it belongs to."""
        groups = {"model": self.model.state_dict(), "average": self.average.state_dict()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                groups.setdefault(OPTIMIZER[key], {})[name] = value
        facts = {name: getattr(self, name) for name in ("step", "seconds", "best", "waited", "threads")}
        facts["shortened"] = [each.model_dump() for each in self.shortened]
        save(path, groups, facts | asdict(origin))

    def restore(self, path: Path, origin: Origin) -> None:
        """Take over what `write` wrote.

        Raises:
            UsageError: it belongs to another number of shares a batch, to other images or to another teacher.
            AdvssError: the file is damaged.
        """
        groups, facts = load(path)
        found = Origin(**{field.name: facts.get(field.name, getattr(origin, field.name)) for field in fields(Origin)})
        if found.shares != origin.shares:
            raise UsageError(
                f"The run started with {found.shares} shares per batch, got {origin.shares}.",
                f"Resume it with processes x accumulation = {found.shares}.",
            )
        if found.data != origin.data:  # of a folder, the name changes with the images
            raise UsageError(
                f"The images have changed since the run started: from {found.data} to {origin.data}.",
                "Restore them, or start a new run with another --out.",
            )
        if found.teacher != origin.teacher:
            raise UsageError(
                "The teacher's weights have changed since the run started: sha256 from "
                f"{found.teacher} to {origin.teacher}.",
                "Restore them, or start a new run with another --out.",
            )
        self.model.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        parameters = dict(self.model.named_parameters())
        for key, group in OPTIMIZER.items():
            for name, value in groups.get(group, {}).items():
                like = parameters[name].detach() if value.ndim else value  # a step is counted on the CPU
                self.optimizer.state[parameters[name]][key] = torch.empty_like(like).copy_(value)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]
        self.waited, self.threads = facts.get("waited", 0), facts.get("threads", self.threads)
        self.shortened[:] = map(Shortened.model_validate, facts.get("shortened", []))


def save(path: Path, groups: Groups, facts: Mapping[str, Any]) -> None:
    """Write named groups of tensors and JSON-able facts, atomically."""
    tensors = {
        f"{group}/{key}": value.contiguous() for group, values in groups.items() for key, value in values.items()
    }
    content = safetensors.torch.save(tensors, metadata={"facts": json.dumps(facts)})
    write_bytes(path, content)


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read what `save` wrote.

    Raises:
        AdvssError: the file is damaged.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                group, _, key = name.partition("/")
                groups.setdefault(group, {})[key] = file.get_tensor(name)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise AdvssError(f"The state {path} cannot be read ({error}).", "Delete it to restart the run.") from error
    return groups, facts
