"""Models, ready to use: by name from the zoo, from a folder, or from a factory of the user's own."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.resnetv2 import ResNetV2
from advss_zoo.zoo import WEIGHTS, checkpoint, ensembles, runs, sources
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.ensembles import EnsembleConfig

LIBRARIES = ("torch", "advss_zoo")  # whose code is not a model's own; results name their versions


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode and what is known about it.

    `classes`, and the pixels a side of the images it was made for, are None for a model that is not ours. The
    `temperature` is for probabilities that are shown to people: no logit, evaluation or attack knows it.
    """

    model: nn.Module
    full_name: str
    sha256: str
    classes: tuple[str, ...] | None
    image_size: int | None = None
    temperature: float = 1.0


def load_model(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A classifier or an ensemble of the zoo.

    Args:
        name: NAME or NAME.TAG (see `list_models`), that of a run in ./runs, hf://ORG/REPO@REVISION for any repository
            on the Hub in our layout, or several joined by + for the ensemble of them.

    Returns:
        A module in evaluation mode on `device`: images (B,3,H,W) in [0,1] to logits (B,K), normalisation inside.

    Raises:
        UsageError: there is no such checkpoint.
        CheckpointError: its weights cannot be had, or are not what the index says.
    """
    return resolve(name, device=device).model


def load_trunk(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """The pretrained trunk of a checkpoint, for a head of one's own.

    Args:
        name: NAME or NAME.TAG of a trunk (`selfie-p3`) or of a classifier, whose trunk it then is.

    Returns:
        A module in evaluation mode on `device`: images (B,3,H,W) in [0,1] to features (B,C,H/4,W/4), normalisation
        inside. A linear layer on the mean over positions is the simplest head.

    Raises:
        UsageError: there is no such checkpoint, or it is an ensemble.
        CheckpointError: its weights cannot be had, or are not what the index says.
    """
    folder = sources.fetch(name).path
    if ensembles.is_ensemble(folder):
        raise UsageError(f"{name} is an ensemble, which has no trunk of its own.", "Choose one of its members.")
    network, _ = checkpoint.load(folder)
    network.head = nn.Identity()
    return network.to(device)


def random_model(kind: str) -> nn.Module:
    """The paper's ResNet-50v2 with random weights, in evaluation mode: a "classifier" of ten classes or a "trunk"."""
    network = ResNetV2(Architecture())
    if kind == "trunk":
        network.head = nn.Identity()
    return network.eval()


def resolve(name: str, *, device: str | torch.device = "cpu") -> Loaded:
    """`load_model` with the full name, the sha256 and the classes."""
    return together(named(name, device=device))


def named(name: str, *, device: str | torch.device = "cpu") -> list[Loaded]:
    """The models that NAME or A+B names."""
    return [_fetched(part, device=device) for part in sources.parts(name)]


def together(models: Sequence[Loaded]) -> Loaded:
    """The ensemble of several models, or the one there is; what is not ours is taken to know the others' classes.

    Raises:
        UsageError: they know different classes.
    """
    return models[0] if len(models) == 1 else _ensemble(models, "+".join(_names(models)))


def _fetched(name: str, *, device: str | torch.device) -> Loaded:
    """What is not the zoo's goes by its address: a repository may give itself any name."""
    fetched = sources.fetch(name)
    return replace(from_path(fetched.path, device=device), full_name=fetched.full_name)


def _ensemble(members: Sequence[Loaded], full_name: str) -> Loaded:
    known = {member.classes: member for member in members if member.classes}
    if len(known) > 1:
        described = "; ".join(f"{member.full_name} {', '.join(classes)}" for classes, member in known.items())
        raise UsageError(f"These models know different classes, so they make no ensemble: {described}.")
    return Loaded(
        model=Ensemble([member.model for member in members], _names(members)).eval(),
        full_name=full_name,
        sha256=ensembles.combined_sha256([member.sha256 for member in members]),
        classes=next(iter(known), None),
        image_size=next((member.image_size for member in members if member.image_size), None),
    )


def _names(models: Sequence[Loaded]) -> list[str]:
    """Of several models; those of one name and different weights are told apart by these."""
    weights = defaultdict(set)
    for model in models:
        weights[model.full_name].add(model.sha256)
    return [
        f"{model.full_name} ({model.sha256[:7]})" if len(weights[model.full_name]) > 1 else model.full_name
        for model in models
    ]


def from_path(path: Path, *, device: str | torch.device = "cpu") -> Loaded:
    """A checkpoint folder, its model.safetensors, or the folder of a finished run.

    Raises:
        UsageError: it is a pretrained trunk and no classifier, or a run that is not finished.
        CheckpointError: it is not a whole checkpoint.
    """
    if not path.exists():
        raise CheckpointError(f"There is no {path}.", "For a checkpoint of the zoo give its NAME, see `advss list`.")
    if path.is_file() and path.name != WEIGHTS:
        checkpoint.read_weights(path)  # says what is wrong with a file that is no safetensors at all
        raise CheckpointError(
            f"{path} alone does not say what model it belongs to.",
            f"Name it {WEIGHTS}, put a {checkpoint.CONFIG} beside it and give the folder.",
        )
    folder = path.parent if path.is_file() else runs.checkpoint_in(path)
    if ensembles.is_ensemble(folder):
        known = ensembles.read(folder)
        members = [from_path(member, device=device) for member in member_folders(folder)]
        return replace(_ensemble(members, known.full_name), temperature=known.temperature)
    model, config = checkpoint.load(folder)
    assert config.sha256 is not None
    if config.kind == "trunk":
        raise UsageError(
            f"{config.full_name} is a pretrained trunk, which classifies nothing yet.",
            f"Fine-tune it (`parent={folder}` with a recipe), or take its features with advss_zoo.load_trunk.",
        )
    return Loaded(
        model.to(device), config.full_name, config.sha256, config.classes, config.image_size, config.temperature
    )


def read_config(folder: Path) -> Config | EnsembleConfig:
    """The configuration of a checkpoint, of whatever kind.

    Raises:
        CheckpointError: there is none, or it describes no checkpoint.
    """
    return ensembles.read(folder) if ensembles.is_ensemble(folder) else checkpoint.read_config(folder)


def check(folder: Path) -> None:
    """Is this a whole checkpoint, of whatever kind?

    Raises:
        CheckpointError: it is not; what is missing or does not fit is named.
    """
    for part in network_folders(folder):
        checkpoint.load(part)


def network_folders(folder: Path) -> list[Path]:
    """Where the networks of a checkpoint are: in it, or in the members of an ensemble.

    Raises:
        CheckpointError: a member has other weights than it should, or cannot be had.
    """
    return member_folders(folder) if ensembles.is_ensemble(folder) else [folder]


def member_folders(folder: Path) -> list[Path]:
    """Where the members of an ensemble's checkpoint are, each with the weights that the ensemble was made of.

    Raises:
        CheckpointError: a member has other weights, or cannot be had.
    """
    found = []
    for member in ensembles.read(folder).members:
        inside = folder / ensembles.MEMBERS / member.name
        place = inside if inside.is_dir() else sources.fetch(member.name).path
        config = checkpoint.read_config(place)
        if config.sha256 != member.sha256:
            raise CheckpointError(
                f"{place} has the weights {config.sha256}, but the ensemble was made of {member.sha256}."
            )
        found.append(place)
    return found


def from_factory(reference: str, *, device: str | torch.device = "cpu") -> Loaded:
    """A model of the user's own: `package.module:factory`, called without arguments.

    The folder one stands in is searched first, as with `python -m`. Its sha256 is that of its parameters and buffers,
    and of the files that its layers and the factory are written in: the same weights may come to mean something else.

    Raises:
        UsageError: there is no such function, or it does not return a torch module.
        AdvssError: the function fails.
    """
    module_name, _, function_name = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"Cannot import {reference!r}: {error}.", "Write --model package.module:factory.") from error
    try:
        model = factory()
    except Exception as error:  # a function of the user's own may fail in any way
        raise AdvssError(f"{reference} failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{reference} returned {type(model).__name__}, not a torch.nn.Module.")
    sha256 = _own_sha256(model, [module_name, factory.__module__])
    return Loaded(model.to(device).eval(), reference, sha256, None)


def _own_sha256(model: nn.Module, modules: Iterable[str]) -> str:
    """Of the weights, of the layers as they are printed, and of the files of these modules and the layers' own."""
    printed = re.sub("0x[0-9a-f]+", "", repr(model))  # addresses differ from process to process
    digest = hashlib.sha256(f"{weights_sha256(model)}\n{printed}\n".encode())
    for name in sorted({*modules, *(type(layer).__module__ for layer in model.modules())}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] not in LIBRARIES and file and Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()
