"""The code for a GPU, run on a pretended one: no mix of devices, the CPU's verdicts, and few waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pretended_gpu import MixedDevicesError, pretended_gpu
from torch import Tensor, nn

from advss_zoo import threat
from advss_zoo.data.augmentation import Augmentation
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.pixels import in_unit_range
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.images import as_images
from advss_zoo.evaluation.protocols import Protocol, parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.noise import per_image_uniform
from advss_zoo.training import recipe, trainer
from advss_zoo.training.distributed import DistributedContext

pytest_plugins = ["tiny_training"]
IMAGES = 16
ENSEMBLES = ("transfer", "ensemble-worst")


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))


def pictures() -> ImageSet:
    """Most of them labelled as `network()` says."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 3, 4, 4), dtype=np.uint8).repeat(8, axis=2).repeat(8, axis=3)
    with torch.no_grad():
        labels = network()(torch.from_numpy(images).float() / 255).argmax(dim=1).numpy()
    labels[::5] = 3
    return ImageSet("made-up", "test", images, labels, np.arange(IMAGES), tuple("abcdefghij"))


SHORTER: dict[str, dict[str, Any]] = {
    "autoattack": {"iterations": 2, "queries": 4},
    **{name: {"steps": 2} for name in (*ENSEMBLES, "unforeseen-elastic-eps4", "unforeseen-snow-eps4")},
}


def quick(name: str, **settings: Any) -> Protocol:
    return replace(parse(name, **settings), **SHORTER.get(name, {}))


PROTOCOLS = [
    quick("clean"),
    quick("pgd3", eps="1/255", restarts=2),
    quick("pgd3-any", norm="l2", eps=0.1),
    quick("pgd2-margin", search="bf16", eps="1/255"),
    quick("autoattack", eps="1/255"),
    quick("unforeseen-elastic-eps4"),
    quick("unforeseen-snow-eps4"),
    quick("transfer", eps="1/255"),
    quick("ensemble-worst", eps="1/255"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.label())
def test_verdicts_are_those_of_the_cpu(protocol: Protocol, tmp_path) -> None:
    def measured(device, out):
        model = Ensemble([network(), network(1)], ["a", "b"]) if protocol.name in ENSEMBLES else network()
        return evaluate(model, pictures(), protocol, device=device, out=out, quantize=protocol.makes_images)

    expected = measured("cpu", None)
    with pretended_gpu():
        found = measured("cuda:0", tmp_path)
    assert found.verdicts == expected.verdicts
    assert found.device == "cuda (pretended)"


def test_a_random_model_is_measured() -> None:
    model = nn.Sequential(nn.Dropout2d(0.1), network())
    model[0].eval = model[0].train
    with pretended_gpu():
        assert evaluate(model, pictures(), "pgd1", device="cuda:0", eot=2).n == IMAGES


def test_pixels_have_the_same_bits_on_every_device() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    expected, rows = pixels.float() / 255, np.zeros(1, np.int64)
    images = ImageSet("all", "test", pixels.expand(1, 3, 16, 16).numpy(), rows, rows, ("a",))
    with pretended_gpu():
        there = pixels.to("cuda")
        assert int(((there.float() / 255).cpu() != expected).sum()) == 126, "as on a real one"
        seen, _, _ = as_images(images).batch(range(1), torch.device("cuda:0"))
        index = torch.zeros(1, dtype=torch.int64, device="cuda")
        augmented = Augmentation(flip=False, crop_padding=0)(there.expand(1, 3, 16, 16), index, seed=0)
        for found in (in_unit_range(there), seen[:, :1], augmented[:, :1]):
            assert torch.equal(found.cpu(), expected)


def waits(name: str, model: nn.Module) -> Counter[tuple[str, str]]:
    with pretended_gpu() as gpu:
        evaluate(model, pictures(), quick(name), device="cuda:0")
    return gpu.waits


def test_the_loop_of_an_attack_never_waits() -> None:
    found = waits("pgd2", network())
    assert found == waits("pgd7", network())
    assert found.total() < 50, "of an evaluation of one pass"


class Faulty(nn.Module):
    """`network()` and a fault that the CPU does not show."""

    def __init__(self, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.fault = network(), fault

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.fault(x))


MEAN = torch.full((1, 3, 1, 1), 0.5)
FAULTS = {
    "a constant that is no buffer": (lambda x: x - MEAN, "Expected all tensors to be on the same device"),
    "padding on the CPU": (lambda x: torch.cat([x, torch.zeros(1, 3, 32, 32)])[:-1], "Expected all tensors"),
    "numpy": (lambda x: x * float(x.detach().numpy().max() < 2), "to numpy"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_a_model_are_caught(name: str) -> None:
    fault, message = FAULTS[name]
    evaluate(Faulty(fault), pictures(), "pgd1")
    with pytest.raises((MixedDevicesError, TypeError, AdvssError), match=message):
        waits("pgd1", Faulty(fault))


def test_a_start_on_the_other_device_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threat, "per_image_uniform", lambda *how: per_image_uniform(*how[:3]))
    with pytest.raises(MixedDevicesError, match=r"threat\.py:[0-9]+"):
        waits("pgd1", network())


def test_a_wait_in_the_loop_is_counted_where_it_is() -> None:
    model = Faulty(lambda x: x * float(x.max() < 2))
    more = waits("pgd7", deepcopy(model)) - waits("pgd2", deepcopy(model))
    assert more.total() == 5
    assert {(what, place.partition(":")[0]) for what, place in more} == {("__float__", "test_pretended_gpu.py")}


class EnoughError(Exception):
    """Training has taken the steps that are looked at."""


@pytest.fixture
def train(cache, recipe_file, tmp_path, monkeypatch):
    """Take steps of the tiny recipe, changed by options; returns the waits of each step but the first."""

    class OnTheGpu(DistributedContext):
        def __init__(self, device, accumulation):
            super().__init__("cpu", accumulation)  # Accelerate sees no GPU
            self.device = torch.device(device)

    usual = trainer.Trainer

    def train(*options, steps=None):
        waits = []

        class Counted(usual):
            def train_step(self):
                if self.state.step == steps:
                    raise EnoughError
                before = gpu.waits.copy()
                loss = super().train_step()
                waits.append(gpu.waits - before)
                return loss

        monkeypatch.setattr(trainer, "Trainer", Counted)
        loaded = recipe.load(recipe_file, ["epochs=1", "batch_size=8", *options])
        with pretended_gpu() as gpu, nullcontext() if steps is None else pytest.raises(EnoughError):
            trainer.train(loaded, tmp_path / "run", device="cuda:0", resume=True)
        return waits[1:]

    monkeypatch.setattr(trainer, "DistributedContext", OnTheGpu)
    return train


L2 = "[{name: pgd, norm: l2, eps: 0.5, step_size: 0.2, steps: 1}]"
JOINT = "{name: joint, tasks: [{name: jigsaw}, {name: rotation}], diversity: {inner: 1, outer: 1}}"
# Waits of a step (whether gradients were finite, jigsaw's orders), and the scenario and options of a recipe.
STEPS = {
    "classification": (1, "p1f4", ["adversary=[{name: pgd, steps: 3}]", "augmentation.cutout=0.25"]),
    "trades": (0, "p1f4", ["adversary=[{name: n-fgsm}]", "objective={name: trades}"]),
    "selfie": (1, "p3", [f"adversary={L2}", "objective={name: selfie, transformer: mini}"]),
    "apdpe": (4, "p3", ["adversary=[{name: pgd, steps: 1}]", f"objective={JOINT}", "accumulation=2"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_training_waits_this_often(name, train) -> None:
    most, scenario, options = STEPS[name]
    found = train(f"scenario={scenario}", f"task={name if scenario == 'p3' else 'null'}", *options, steps=3)
    assert [step.total() for step in found] == [most] * 2


def test_a_run_trains_validates_and_goes_on(train, tmp_path) -> None:
    options = "batch_size=60", "validation.every=1", "adversary=[{name: pgd, steps: 1}]", "averaging.start=0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "SAVE_EVERY", 0.0)
        train(*options, steps=1)
    train(*options)
    assert (tmp_path / "run" / "best-ra" / "config.json").exists()
