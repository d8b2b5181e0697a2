"""Checkpoint folders of whatever kind: a network or an ensemble of several."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.zoo import checkpoint, ensembles, membership, sources
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.ensembles import EnsembleConfig
from advss_zoo.zoo.membership import SeenImages
from advss_zoo.zoo.reference import Reference, parse_reference


def load_trunk(reference: Reference | str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load the pretrained trunk of a checkpoint, for a head of your own.

    Args:
        reference: of a trunk (`selfie-p3`) or of a classifier, whose trunk it then is; written as for `load_model`.

    Returns:
        A module in evaluation mode on `device`: images (B,3,H,W) in [0,1] to features (B,C,H/4,W/4), normalisation
        inside. A linear layer on the mean over positions is the simplest head.

    Raises:
        UsageError: there is no such checkpoint, or it is an ensemble.
        CheckpointError: its weights cannot be had, or are not what the index says.
    """
    folder = sources.fetch(reference).path
    if ensembles.is_ensemble(folder):
        raise UsageError(
            f"{reference} is an ensemble, not a single network with a trunk.", "Choose one of its members."
        )
    network, _ = checkpoint.load(folder)
    network.head = nn.Identity()
    return network.to(device)


def random_model(kind: str) -> nn.Module:
    """Build the paper's ResNet-50v2 with random weights, in evaluation mode: a "classifier" of ten classes or a
    "trunk".
    """
    network = ResNetV2Architecture().classifier()
    if kind == "trunk":
        network.head = nn.Identity()
    return network.eval()


def read_config(folder: Path) -> Config | EnsembleConfig:
    """Read the configuration of a checkpoint, of whatever kind.

    Raises:
        CheckpointError: there is none, or it describes no checkpoint.
    """
    return ensembles.read(folder) if ensembles.is_ensemble(folder) else checkpoint.read_config(folder)


def check(folder: Path) -> None:
    """Check that this is a complete checkpoint, of whatever kind.

    Raises:
        CheckpointError: it is not; what is missing or does not fit is named.
    """
    for part in network_folders(folder):
        checkpoint.load(part)
    seen_by(network_folders(folder))


def seen_by(folders: Iterable[Path]) -> SeenImages | None:
    """Return which images the networks in checkpoint folders have seen, together; None where that is not known.

    Raises:
        CheckpointError: a configuration names a list of them that is missing or damaged.
    """
    configs = [(folder, checkpoint.read_config(folder).seen_sha256) for folder in folders]
    found = [membership.read(folder, sha256) for folder, sha256 in configs if sha256]
    return SeenImages.of(found) if found else None


def network_folders(folder: Path) -> list[Path]:
    """List the folders of the networks of a checkpoint: itself, or the members of an ensemble.

    Raises:
        CheckpointError: a member has other weights than it should, or cannot be had.
    """
    return member_folders(folder) if ensembles.is_ensemble(folder) else [folder]


def member_folders(folder: Path) -> list[Path]:
    """List the folders of an ensemble's members, whose weights are verified.

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


def folders_of(reference: Reference | str | Path) -> list[Path]:
    """List the folders of the networks that a reference means, of ensembles those of the members.

    Raises:
        UsageError: it means no checkpoint.
        CheckpointError: the weights of one cannot be had.
    """
    roots = [sources.fetch(part).path for part in parse_reference(reference).parts]
    return [folder for root in roots for folder in network_folders(root)]
