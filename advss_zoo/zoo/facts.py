"""What the files of a checkpoint say about it, and whether its card says the same."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from advss_zoo import resources
from advss_zoo.errors import CheckpointError
from advss_zoo.files import read_json
from advss_zoo.zoo import WEIGHTS, cards, checkpoint, ensembles, index
from advss_zoo.zoo.index import Entry


def facts(folder: Path) -> dict[str, Any]:
    """Return what the files of a checkpoint, and of an ensemble the cards of its members, say: values of its card.

    Raises:
        UsageError: a member of an ensemble is none of the zoo's.
        CheckpointError: this is no whole checkpoint.
    """
    if ensembles.is_ensemble(folder):
        return _ensemble(folder)
    model, config = checkpoint.load(folder)
    return {
        "name": config.name,
        "tag": config.tag,
        "kind": config.kind,
        "task": config.task,
        "scenario": config.scenario,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": (folder / WEIGHTS).stat().st_size,
        "sha256": config.sha256,
        "classes": list(config.classes),
        "members": [],
        "training": config.provenance.model_dump(mode="json") if config.provenance else {},
    }


def _ensemble(folder: Path) -> dict[str, Any]:
    """What an ensemble's members, which the zoo has already, say about it."""
    config = ensembles.read(folder)
    members = [index.find(member.name) for member in config.members]
    return {
        "name": config.name,
        "tag": config.tag,
        "kind": config.kind,
        "task": None,
        "scenario": config.scenario,
        "parameters": sum(member.parameters for member in members),
        "bytes": sum(member.bytes for member in members),
        "sha256": config.sha256,
        "classes": list(config.classes),
        "members": [
            {"name": member.full_name, "sha256": member.sha256, "ta": member.ta, "ra": member.ra} for member in members
        ],
        "training": {"recipe": config.full_name, "data": members[0].training["data"], "parent": None},
    }


def control_of(name: str | None) -> dict[str, Any] | None:
    """Return the accuracies of the control as the zoo has them."""
    if name is None:
        return None
    entry = index.find(name)
    return {"name": entry.full_name, "ta": entry.ta, "ra": entry.ra}


def check_card(entry: Entry, folder: Path) -> None:
    """Check that a card matches its JSON, and this the checkpoint's files and the cards of others.

    The results are another matter (`results.check`). Of the validation no verdicts are kept.

    Raises:
        AdvssError: it is not.
    """
    path = resources.folder("cards") / f"{entry.full_name}.json"
    values, found = read_json(path), facts(folder)
    control, said = values["control"], values | values["training"]
    found |= found.pop("training") | {"control": control_of(control and control["name"])}
    for key, value in found.items():
        if said.get(key) != value:
            raise CheckpointError(
                f"The card of {entry.full_name} says {key} = {reprlib.repr(said.get(key))}, but its files and the "
                f"cards of others give {reprlib.repr(value)}."
            )
    if cards.render(values) != index.card(entry.full_name):
        raise CheckpointError(
            f"The card of {entry.full_name} is not what {path} gives.", "Run `python -m advss_zoo.zoo.cards`."
        )
