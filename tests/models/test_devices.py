"""Each process computes where it was told to, or it is said why not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.devices import pick_device, processes
from advss_zoo.training.distributed import DistributedContext


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("_two_gpus")
def test_a_gpu_can_be_chosen_by_its_number() -> None:
    assert [pick_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(UsageError, match="cuda:2 does not exist: torch sees 2 GPUs, from cuda:0 to cuda:1"):
        pick_device(torch.device("cuda:2"))


@pytest.mark.usefixtures("_two_gpus")
def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (pick_device("auto"), processes()) == ("cuda", 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (pick_device("auto"), processes()) == ("cuda:1", 4)
    assert [pick_device(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:0", "cpu"]


@pytest.mark.usefixtures("_two_gpus")
def test_training_stays_on_the_gpu_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate knows the first alone, and must not move a module there."""

    class Accelerator:
        device, is_main_process, num_processes, process_index = torch.device("cuda"), True, 1, 0

        def __init__(self, **settings: object) -> None:
            assert settings["device_placement"] is False

    monkeypatch.setattr("advss_zoo.training.distributed.Accelerator", Accelerator)
    assert DistributedContext("cuda:1").device == torch.device("cuda:1")
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    monkeypatch.setattr(Accelerator, "device", torch.device("cuda:0"))
    with pytest.raises(UsageError, match="Device cuda:1 is not available: this process already uses cuda:0"):
        DistributedContext("cuda:1")


def test_without_a_gpu_there_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    with pytest.raises(UsageError, match="torch cannot use a GPU"):
        pick_device("cuda:0")


@pytest.mark.parametrize("name", ["mps", "meta", "gpu", "cuda:x"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '?{name}'?.*; choose from auto, cpu, cuda and cuda:N") as caught:
        pick_device(name)
    with pytest.raises(UsageError, match=caught.value.message):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (torch.rand(2, 3, 2, 2), [0, 1]), "clean", device=name)
