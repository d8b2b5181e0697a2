"""Reduced precision is off while verdicts are made, and comes back."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.evaluation.arithmetic import exact_arithmetic

CPU = torch.device("cpu")


def state():
    backends = torch.backends
    return (
        backends.cudnn.conv.fp32_precision,
        backends.cuda.matmul.fp32_precision,
        backends.mkldnn.conv.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
        backends.cudnn.benchmark,
        backends.cudnn.deterministic,
        torch.get_float32_matmul_precision(),
    )


@pytest.fixture
def _medium():
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("_medium")
def test_a_faster_precision_chosen_elsewhere_is_suspended():
    before = state()
    with exact_arithmetic(CPU):
        assert state()[:6] == ("ieee", "ieee", "ieee", "ieee", False, True)
    assert state() == before


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
