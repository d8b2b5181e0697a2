"""In what arithmetic a run computes."""

from __future__ import annotations

import torch

from advss_zoo.training import recipe, trainer


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
