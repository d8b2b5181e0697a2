"""A checkpoint: a folder with model.safetensors, config.json and, once released, its card, results and recipe.

Loading is strict. Weights are compared with the architecture name by name and shape by shape before any memory is
taken, and nothing but safetensors and JSON is ever read: a pickle could run code.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

import advss_zoo.objectives
from advss_zoo.errors import CheckpointError, all_mistakes
from advss_zoo.files import check_not_pointer, explained, read_json, sha256_of, write_bytes, write_json
from advss_zoo.models.families import AnyArchitecture
from advss_zoo.models.network import Network
from advss_zoo.models.outputs import MOST_TEMPERATURE
from advss_zoo.objectives.base import Objective
from advss_zoo.objectives.classification import Classification
from advss_zoo.registry import any_of
from advss_zoo.texts import listed
from advss_zoo.zoo import CONFIG, SEEN, WEIGHTS
from advss_zoo.zoo.names import MAX_LENGTH, NAME, TAG

if TYPE_CHECKING:
    AnyObjective: TypeAlias = Objective
else:
    AnyObjective = any_of(advss_zoo.objectives, Objective)

MENTIONED = 3  # how many names an error lists before it says how many more there are
LONGEST = 200  # characters of such a name, which is as long as its author likes
MOST_HEADER = 2**20  # bytes, in which safetensors names its tensors; those of the paper's network take 30,000
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Provenance(BaseModel):
    """How the weights were made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    recipe_sha256: str
    profile: Literal["paper", "fast"]
    data: str
    split: str
    picked: str = Field(description="which weights of the run these are: average, best-ta, best-ra, last")
    deployed: Literal["average", "best-ta", "best-ra", "last"] = Field(description="which of them the run stands for")
    norm: Literal["linf", "l2"] | None = Field(None, description="of the threat model they were trained for")
    eps: float | None = Field(None, gt=0, description="of the same; null: no adversary at the end of training")
    epochs: float = Field(ge=0, le=1e12)
    parent: str | None = None
    parent_sha256: str | None = Field(None, description="of the weights that the trunk was copied from")
    teacher: str | None = Field(None, description="whose soft labels were learnt; self: those of the run's own average")
    teacher_sha256: str | None = Field(None, description="of the teacher's weights")


class Config(BaseModel):
    """config.json: all that is needed to build the model and to know what it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str = Field(pattern=NAME, max_length=MAX_LENGTH)
    tag: str = Field(pattern=TAG, max_length=MAX_LENGTH)
    kind: Literal["classifier", "trunk"] = "classifier"
    task: str | None = None
    scenario: str
    architecture: AnyArchitecture
    objective: AnyObjective | None = Field(Classification(), description="whose head lies on the trunk; null: none")
    classes: tuple[str, ...] = Field((), description="of a classifier, in the order of the logits")
    image_size: int = Field(32, ge=8, le=4096)
    temperature: float = Field(1.0, gt=0, le=MOST_TEMPERATURE, description="softmax(logits / it) are the probabilities")
    sha256: str | None = Field(None, description=f"of {WEIGHTS}; written by `save`")
    value_range: tuple[float, float] | None = Field(
        None, description="values that are 0 and 1, of images with more than 8 bits; null: by the images' own"
    )
    seen_sha256: str | None = Field(None, description=f"of {SEEN}, which images trained it; null: no such file")
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _white_above_black(self) -> Config:
        if self.value_range and not (-math.inf < self.value_range[0] < self.value_range[1] < math.inf):
            raise ValueError(f"value_range must be two rising numbers, got {self.value_range}")
        return self

    @model_validator(mode="after")
    def _one_logit_a_class(self) -> Config:
        if self.kind == "classifier" and len(self.classes) != self.architecture.num_classes:
            raise ValueError(f"{len(self.classes)} classes are named but the model has {self.architecture.num_classes}")
        return self

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"


def save(
    folder: Path, state: Mapping[str, Tensor], config: Config, *, precision: Literal["half", "full"] = "half"
) -> Config:
    """Write weights and configuration; returns the configuration with the sha256 of the weights in it.

    Convolutions and linear maps are stored in half precision, biases and batch norm in full: half the download, and
    what is evaluated and published is what is stored, so no number depends on the rounding. With `precision` full
    nothing is rounded: for weights that others made, whose numbers are known already.
    """

    def kernel(tensor: Tensor) -> bool:
        return tensor.ndim >= 2 and tensor.is_floating_point()

    stored = {
        name: (tensor.half() if precision == "half" and kernel(tensor) else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }
    content = safetensors.torch.save(stored, metadata={"format": "pt"})
    config = config.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    write_bytes(folder / WEIGHTS, content)
    write_json(folder / CONFIG, config.model_dump(mode="json"))
    return config


def read_config(folder: Path) -> Config:
    """Read the configuration of a checkpoint folder.

    Raises:
        CheckpointError: there is none, or it does not describe a model.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a checkpoint: {CONFIG} is missing.")
    try:
        return Config.model_validate(read_json(path))
    except ValidationError as error:
        raise CheckpointError(f"{path} does not describe a checkpoint: {all_mistakes(error)}.") from error


def load(folder: Path) -> tuple[Network, Config]:
    """Load the network of a checkpoint folder, on the CPU, in float32 and evaluation mode.

    Raises:
        CheckpointError: a file is missing or damaged, or a tensor is missing, extra, misshapen or not finite.
    """
    config = read_config(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a checkpoint: {WEIGHTS} is missing.")
    check_not_pointer(path)
    with explained("read", path):
        found = sha256_of(path)
    if config.sha256 is not None and found != config.sha256:
        raise CheckpointError(
            f"{path} has been changed or damaged: its sha256 is {found}, {CONFIG} says {config.sha256}."
        )
    model = build(config, read_weights(path))
    return model, config.model_copy(update={"sha256": found})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Raises:
        CheckpointError: it is not a whole safetensors file.
        AdvssError: it cannot be read, or is a Git LFS pointer.
    """
    check_not_pointer(path)
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > MOST_HEADER:
            raise ValueError(f"header size {header:,} exceeds the limit of {MOST_HEADER:,}")
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a valid safetensors file ({error}).",
            f"Pickled weights (.pt, .pth, .bin) are not loaded; convert them: advss import {shlex.quote(str(path))}"
            if _is_pickle(path)
            else None,
        ) from error


def build(config: Config, state: Mapping[str, Tensor]) -> Network:
    """Build the network with exactly these weights, in evaluation mode.

    Raises:
        CheckpointError: a tensor is missing, extra, misshapen or not finite; it is named.
    """
    with torch.device("meta"):
        expected = _network(config).state_dict()
    check_tensors(expected, state)
    with torch.random.fork_rng([]):  # its first weights are drawn for nothing
        model = _network(config)
    model.load_state_dict({name: state[name].to(tensor.dtype) for name, tensor in expected.items()}, strict=True)
    # The memory order in which convolutions of every device we know are fastest.
    return model.to(memory_format=torch.channels_last).eval()


def _network(config: Config) -> Network:
    if config.objective is None:
        return Network(config.architecture, lambda trunk: nn.Identity())
    return config.objective.build(config.architecture)


def check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Check that weights have the expected names, shapes and types, and are finite.

    Raises:
        CheckpointError: the two do not hold the same names, shapes and kinds of numbers, or a value is not finite.
    """
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
        "of the wrong type": [
            f"{name} {found[name].dtype}"
            for name, tensor in expected.items()
            if name in found and not _same_kind(found[name].dtype, tensor.dtype)
        ],
        "not finite": [
            name
            for name, tensor in found.items()
            if tensor.dtype in FLOATS and not _is_finite(tensor.to(torch.float32))
        ],
    }
    complaints = [
        f"{what}: {listed([name[:LONGEST] for name in names], MENTIONED)}" for what, names in problems.items() if names
    ]
    if complaints:
        raise CheckpointError(f"The weights do not fit the model; {'; '.join(complaints)}.")


def _is_finite(tensor: Tensor) -> bool:
    """Tell whether all values are finite: if their sum is, they are, and it takes a fraction of the time to look."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _same_kind(found: torch.dtype, expected: torch.dtype) -> bool:
    """Floating-point numbers come in several precisions, in which some files count whole ones, too."""
    return found == expected or found in FLOATS


def _is_pickle(path: Path) -> bool:
    """Does the file begin like a pickle or like the zip archive that torch.save makes?"""
    with path.open("rb") as file:
        start: Any = file.read(2)
    return start[:1] == b"\x80" or start == b"PK"
