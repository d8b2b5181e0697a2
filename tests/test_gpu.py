"""What a card alone can show: how its kernels round, that they exist, and what memory they need (`make test-gpu`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import advss_zoo
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import load_data
from advss_zoo.data.pixels import in_unit_range
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.arithmetic import exact_arithmetic
from advss_zoo.models.model import Model
from advss_zoo.training import log, recipe, trainer

pytest_plugins = ["tiny_training"]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU of CUDA or ROCm"),
]
IMAGES = 64


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_data("cifar10-1k", limit=IMAGES)


@pytest.fixture
def model() -> Model:
    return advss_zoo.load_model("p1f4.mini")


@pytest.mark.parametrize(("name", "differing"), [("clean", 0), ("pgd20", 1), ("pgd5-any", 1)])
def test_verdicts_are_those_of_the_cpu(name: str, differing: int, model: Model, images: ImageSet) -> None:
    """But for an image whose gradient rounds to another sign."""
    expected = evaluate(model, images, name).verdicts
    assert evaluate(model, images, name, device="cuda").verdicts.agreement(expected) >= IMAGES - differing


def test_verdicts_are_the_same_every_time(model: Model, images: ImageSet) -> None:
    first, second = (evaluate(model, images, "pgd5", device="cuda").verdicts for _ in range(2))
    assert first == second


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_short_autoattack_is_that_of_the_cpu(norm: str, model: Model, images: ImageSet) -> None:
    protocol = replace(parse("autoattack", norm=norm), iterations=3, queries=20)
    few = images.first(16)
    expected = evaluate(model, few, protocol).verdicts
    assert evaluate(model, few, protocol, device="cuda").verdicts.agreement(expected) >= 15


def test_pixels_have_the_bits_of_the_cpu() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(in_unit_range(pixels.cuda()).cpu(), pixels.float() / 255)


def test_float32_is_not_tf32() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 256, 256, device="cuda")
    with exact_arithmetic(torch.device("cuda")):
        error = ((a @ b).double() - a.double() @ b.double()).abs().max()
    assert error < 1e-3  # products of TF32 have 10 bits of mantissa


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_recipe_trains(precision: str, cache: Path, recipe_file: Path, tmp_path: Path) -> None:
    loaded = recipe.load(recipe_file, ["epochs=2", f"precision={precision}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LOG_EVERY", 1)
        folder = trainer.train(loaded, tmp_path / "run", device="cuda")
    losses = [record["loss"] for record in log.read(tmp_path / "run" / "log.jsonl") if "loss" in record]
    assert len(losses) == 6
    assert np.isfinite(losses).all()
    assert (folder / "config.json").exists()


def test_memory_does_not_grow_with_the_images(model: Model) -> None:
    def peak(count: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        evaluate(model, load_data("cifar10-1k", limit=count), "pgd1", device="cuda")
        return torch.cuda.max_memory_allocated()

    peak(64)  # which loads kernels
    assert peak(1000) <= 1.1 * peak(64)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
def test_the_second_gpu_does_the_work(model: Model, images: ImageSet, cache: Path, recipe_file: Path, tmp_path) -> None:
    torch.cuda.reset_peak_memory_stats(0)
    before = torch.cuda.max_memory_allocated(0)
    evaluate(model, images, "pgd1", device="cuda:1")
    trainer.train(recipe.load(recipe_file, ["epochs=1"]), tmp_path / "run", device="cuda:1")
    assert torch.cuda.max_memory_allocated(0) == before
