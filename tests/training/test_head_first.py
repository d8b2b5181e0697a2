"""The head trains first, then everything: in one run, that can be resumed on either side of the change."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from advss_zoo.errors import UsageError
from advss_zoo.training import recipe, trainer
from advss_zoo.training.distributed import DistributedContext
from advss_zoo.training.trainer import Trainer

# 3 steps an epoch, 12 in all: the trunk is frozen for the first 6.
OPTIONS = ["name=tuned", "head_first=0.5"]


@pytest.fixture
def made(recipe_file, pretrained, cache):
    return recipe.load(recipe_file, [*OPTIONS, f"parent={pretrained / 'average'}"])


def trunk(made):
    return {name: tensor.clone() for name, tensor in made.state.model.trunk.state_dict().items()}


def changed(before, made):
    return [
        name for name, tensor in made.state.model.trunk.state_dict().items() if not torch.equal(tensor, before[name])
    ]


def test_the_trunk_stays_bit_for_bit_and_then_moves(made, tmp_path):
    run = Trainer(made, tmp_path / "run", DistributedContext())
    before, head = trunk(run), run.state.model.head.state_dict()["linear.weight"].clone()
    for _ in range(6):
        run.train_step()
    assert changed(before, run) == []
    assert not torch.equal(run.state.model.head.state_dict()["linear.weight"], head)
    run.train_step()
    assert {"conv1.weight", "bn1.running_mean", "layer3.1.conv2.weight"} <= set(changed(before, run))


@pytest.mark.parametrize("stop", [3, 9])
def test_a_resumed_run_ends_like_an_unbroken_one(stop, made, tmp_path, monkeypatch):
    trainer.train(made, tmp_path / "unbroken")
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)

    def interrupt(done, total, note):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(made, tmp_path / "broken", progress=interrupt)
    trainer.train(made, tmp_path / "broken", resume=True)
    for picked in ("average", "last", "best-ra"):
        one, other = (load_file(tmp_path / run / picked / "model.safetensors") for run in ("unbroken", "broken"))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_a_trunk_to_keep_there_is_nothing_to_freeze(recipe_file, pretrained):
    for options in (["head_first=0.5"], ["head_first=0.5", f"parent={pretrained}", "trains=head"]):
        with pytest.raises(UsageError, match="`head_first` needs a `parent` whose trunk is trained later"):
            recipe.load(recipe_file, options)
