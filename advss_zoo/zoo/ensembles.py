"""An ensemble as a checkpoint: a folder whose config.json names its members and what weights they have.

The members lie in the folder itself (`members/NAME.TAG`), or are checkpoints of the zoo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advss_zoo.errors import CheckpointError, all_mistakes
from advss_zoo.files import read_json
from advss_zoo.models.outputs import MOST_TEMPERATURE
from advss_zoo.zoo import CONFIG
from advss_zoo.zoo.names import FULL_NAME, MAX_LENGTH, NAME, TAG

MEMBERS = "members"
MOST_MEMBERS = 64  # each is a network in memory


class Member(BaseModel):
    """One of an ensemble's classifiers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=FULL_NAME, max_length=MAX_LENGTH)
    sha256: str


class EnsembleConfig(BaseModel):
    """config.json of an ensemble."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str = Field(pattern=NAME, max_length=MAX_LENGTH)
    tag: str = Field(pattern=TAG, max_length=MAX_LENGTH)
    kind: Literal["ensemble"] = "ensemble"
    scenario: str
    classes: tuple[str, ...] = Field(description="in the order of the outputs")
    temperature: float = Field(1.0, gt=0, le=MOST_TEMPERATURE, description="softmax(logits / it) are the probabilities")
    members: tuple[Member, ...] = Field(min_length=2, max_length=MOST_MEMBERS)

    @property
    def full_name(self) -> str:
        return f"{self.name}.{self.tag}"

    @property
    def sha256(self) -> str:
        """Over the sha256 of all members' weights, in their order."""
        return combined_sha256([member.sha256 for member in self.members])


def combined_sha256(members: Sequence[str]) -> str:
    return hashlib.sha256("+".join(members).encode()).hexdigest()


def is_ensemble(folder: Path) -> bool:
    """Tell whether a checkpoint folder is an ensemble's.

    Raises:
        AdvssError: there is a config.json that cannot be read.
    """
    path = folder / CONFIG
    document = read_json(path) if path.is_file() else None
    return isinstance(document, dict) and document.get("kind") == "ensemble"


def read(folder: Path) -> EnsembleConfig:
    """Read the configuration of an ensemble.

    Raises:
        CheckpointError: the folder does not describe an ensemble.
    """
    try:
        return EnsembleConfig.model_validate(read_json(folder / CONFIG))
    except ValidationError as error:
        raise CheckpointError(f"{folder / CONFIG} does not describe an ensemble: {all_mistakes(error)}.") from error
