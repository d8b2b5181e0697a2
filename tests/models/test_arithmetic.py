"""Reduced precision is off where float32 is asked for, and comes back."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.models.arithmetic import exact_arithmetic, ieee_float32

CPU = torch.device("cpu")


def switches():
    """The new switches, then the old ones, which raise where the two do not agree."""
    backends = torch.backends
    owners = (backends.cudnn, backends.mkldnn)
    return (
        *(part.fp32_precision for owner in owners for part in (owner.conv, owner.rnn)),
        backends.cuda.matmul.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
        backends.cudnn.allow_tf32,
        backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
    )


def state():
    return (*switches(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)


IEEE = ("ieee",) * 6 + (False, False, "highest")


@pytest.fixture
def _medium():
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("_medium")
def test_a_faster_precision_chosen_elsewhere_is_suspended():
    before = state()
    with exact_arithmetic(CPU):
        assert state() == (*IEEE, False, True)
    assert state() == before


@pytest.mark.usefixtures("_medium")
def test_float32_in_training_is_ieee_and_may_differ_from_run_to_run():
    before = state()
    with ieee_float32():
        assert state() == (*IEEE, *before[-2:])
    assert state() == before


@pytest.fixture
def _tf32_everywhere():
    torch.backends.fp32_precision = "tf32"
    yield
    torch.backends.fp32_precision = "none"


@pytest.mark.usefixtures("_tf32_everywhere")
@pytest.mark.parametrize("flags", [{"enabled": False}, {"deterministic": True}])
def test_a_model_may_switch_cudnn_off_for_itself(flags):
    """Which reads PyTorch's old switches and sets them back; that raises where the new ones contradict them."""

    class Own(torch.nn.Module):
        def forward(self, x):
            with torch.backends.cudnn.flags(**flags):
                return x + 1

    with exact_arithmetic(CPU):
        Own()(torch.zeros(1))
        # Inherited, "none" would mean TF32 if it came from the caller's own choice.
        assert torch.backends.fp32_precision == "ieee"
        assert torch.backends.cudnn.conv.fp32_precision in ("ieee", "none")
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.fp32_precision == "tf32"


def test_switches_that_contradict_each_other_come_back_as_they_were():
    conv = torch.backends.cudnn.conv
    before, conv.fp32_precision = conv.fp32_precision, "ieee"
    try:
        with exact_arithmetic(CPU):
            assert state()[:-2] == IEEE
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = before
    assert torch.backends.cudnn.allow_tf32, "as it was"


def test_state_comes_back_after_an_error():
    before = state()
    with pytest.raises(RuntimeError, match="stop"), exact_arithmetic(CPU):
        raise RuntimeError("stop")
    assert state() == before


def test_autocast_of_the_caller_does_not_reach_in():
    a = torch.rand(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with exact_arithmetic(CPU):
            assert (a @ a).dtype == torch.float32
