"""Real checkpoints as ONNX files, made once, and real images, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from advss_zoo import load_model
from advss_zoo.data.load import load_data
from advss_zoo.evaluation import protocols
from advss_zoo.workflows.export import Exported, export


class Twins(NamedTuple):
    """A model in PyTorch, and what became of it."""

    model: nn.Module
    exported: Exported


def _twins(reference: str, folder: Path) -> Twins:
    return Twins(load_model(reference), export(reference, folder / "model.onnx"))


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return _twins("p1f4.mini", tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return _twins("p1f4.mini+selfie-p3f4.mini", tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(params=["single", "ensemble"])
def twins(request: pytest.FixtureRequest) -> Twins:
    found: Twins = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def real() -> tuple[Tensor, Tensor]:
    """The first 64 test images of CIFAR-10 (64,3,32,32) in [0,1], and their labels."""
    images = load_data("cifar10-1k", "test").first(64)
    return torch.from_numpy(images.images[:]).float() / 255, torch.from_numpy(images.labels[:])


@pytest.fixture(scope="session")
def adversarial(single: Twins, real: tuple[Tensor, Tensor]) -> Tensor:
    """What PGD makes of them on one of the models (64,3,32,32)."""
    made = protocols.parse("pgd5").attack(single.model, *real, torch.arange(64))
    assert made is not None
    return made
