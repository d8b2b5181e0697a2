"""In what arithmetic a run computes."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.models.devices import computes_bfloat16
from advss_zoo.training import recipe, trainer
from advss_zoo.training.precision import Precision

CPU = torch.device("cpu")


def test_float32_in_training_is_no_tf32(cache, recipe_file, tmp_path):
    """Whatever the process allows elsewhere; on a GPU convolutions would be TF32 by PyTorch's default."""
    seen = set()

    def look(done, total, note):
        seen.add((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))

    torch.set_float32_matmul_precision("medium")
    try:
        trainer.train(recipe.load(recipe_file, ["epochs=1", "precision=fp32"]), tmp_path / "run", progress=look)
        assert seen == {(False, "highest")}
        assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "medium")
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("able", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_for_those_who_have_it(able, dtype, monkeypatch):
    monkeypatch.setattr("advss_zoo.training.precision.computes_bfloat16", lambda device: able)
    precision = Precision("bf16", CPU)
    with precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == precision.dtype == dtype


@pytest.mark.parametrize("able", [True, False])
def test_float32_is_float32_everywhere(able, monkeypatch):
    monkeypatch.setattr("advss_zoo.training.precision.computes_bfloat16", lambda device: able)
    with Precision("fp32", CPU)():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == Precision("fp32", CPU).dtype == torch.float32


def test_a_processor_without_instructions_for_bfloat16_is_known(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False})
    assert not computes_bfloat16(CPU)
