"""Everything a killed run needs to go on as if nothing had happened, in one safetensors file (no pickles)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from advss_zoo.errors import AdvssError
from advss_zoo.files import write_atomically

Groups = Mapping[str, Mapping[str, Tensor]]


def save(path: Path, groups: Groups, facts: Mapping[str, Any]) -> None:
    """Write named groups of tensors and JSON-able facts, atomically."""
    tensors = {
        f"{group}/{key}": value.contiguous() for group, values in groups.items() for key, value in values.items()
    }
    content = safetensors.torch.save(tensors, metadata={"facts": json.dumps(facts)})
    write_atomically(path, lambda file: file.write(content))


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `save` wrote.

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
        raise AdvssError(f"The state {path} cannot be read ({error}).", "Delete it to start this run anew.") from error
    return groups, facts
