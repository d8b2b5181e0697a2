"""Processes and accumulation: however a batch is cut, the losses are the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from advss_zoo.errors import UsageError
from advss_zoo.training import log, recipe, trainer
from advss_zoo.training.distributed import DistributedContext

RUN = """
import os, sys
from pathlib import Path
from advss_zoo.training import recipe, trainer

class Trainer(trainer.Trainer):
    def train_step(self):
        if self.state.step == int(os.environ["STOP"]):
            sys.exit()
        return super().train_step()

trainer.LOG_EVERY, trainer.SAVE_EVERY, trainer.Trainer = 1, -1.0, Trainer
trainer.train(recipe.load(sys.argv[1], sys.argv[3:]), Path(sys.argv[2]), resume=True)
"""
LAUNCH = [
    "accelerate.commands.launch",
    "--multi_gpu",  # the launcher that starts several processes; they find no GPU and run on the CPU
    "--num_processes=2",
    "--main_process_port=0",  # any that is free
    "--num_machines=1",
    "--mixed_precision=no",
    "--dynamo_backend=no",
]


def losses(out):
    return [record["loss"] for record in log.read(out / "log.jsonl") if "loss" in record]


@pytest.fixture
def one_thread():
    """As a launcher gives each of its processes: on the number of threads the rounding depends."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(recipe_file, tmp_path, monkeypatch, cache, one_thread):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)

    def with_(name, *options, processes=1, stop=-1):
        out = tmp_path / name
        if processes == 1:
            trainer.train(recipe.load(recipe_file, options), out, resume=True)
        else:
            command = [sys.executable, "-m", *LAUNCH, str(script), str(recipe_file), str(out), *options]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "STOP": str(stop)}
            ended = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert ended.returncode == 0, ended.stderr
        return losses(out)

    return with_


def test_shares_of_a_batch_are_disjoint_and_weigh_what_they_hold():
    module = torch.nn.Linear(1, 1)
    statistics = [torch.zeros(2)]
    seen, weights = [], []
    for share in DistributedContext(accumulation=3).shares(module, torch.arange(10), statistics):
        assert statistics[0].tolist() == [0, 0], "every share starts from the same statistics"
        statistics[0] += share.number
        seen += share.index.tolist()
        weights.append(share.weight)
    assert sorted(seen) == list(range(10))
    assert weights == [0.4, 0.3, 0.3]
    assert statistics[0].tolist() == [1, 1]


@pytest.mark.parametrize("shares", range(1, 17))
def test_statistics_that_no_share_moves_stay_bit_for_bit(shares):
    before = torch.rand(1000)
    statistics = [before.clone()]
    assert (
        len(list(DistributedContext(accumulation=shares).shares(torch.nn.Linear(1, 1), torch.arange(64), statistics)))
        == shares
    )
    assert torch.equal(statistics[0], before)


def test_head_only_training_in_three_shares_keeps_the_trunk(cache, recipe_file, pretrained, tmp_path):
    options = [f"parent={pretrained / 'average'}", "trains=head", "epochs=1", "accumulation=3"]
    assert trainer.train(recipe.load(recipe_file, options), tmp_path / "run").exists()


def test_a_run_goes_on_with_as_many_shares_as_it_was_begun_with(cache, recipe_file, tmp_path):
    trainer.train(recipe.load(recipe_file, ["epochs=1", "accumulation=2"]), tmp_path / "run")
    with pytest.raises(UsageError, match="started with 2 shares per batch, got 1"):
        trainer.train(recipe.load(recipe_file, ["epochs=1"]), tmp_path / "run", resume=True)


def test_an_empty_share_weighs_nothing():
    shares = list(DistributedContext(accumulation=4).shares(torch.nn.Linear(1, 1), torch.arange(2), [torch.zeros(1)]))
    assert [share.weight for share in shares] == [0.5, 0.5, 0, 0]


def test_two_processes_with_frozen_statistics_have_the_losses_of_one(run, pretrained):
    options = [f"parent={pretrained / 'average'}", "trains=head", "normalize_by=running", "epochs=1"]
    one, two = run("one", *options), run("two", *options, processes=2)
    assert len(one) == 3
    assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_two_processes_have_the_losses_of_one_that_normalises_each_half_by_itself(run, mode):
    options = ["epochs=1", f"attack_mode={mode}"]
    one, two = run("one", *options, "accumulation=2"), run("two", *options, processes=2)
    assert two == pytest.approx(one, abs=1e-5)
    assert run("whole", *options) != pytest.approx(one, abs=1e-5), "batch norm does see the halves"


def test_two_processes_attack_jointly_as_one_does(run):
    """Second-order gradients of three tasks, dropout included, are averaged over processes like any other."""
    tasks = "[{name: selfie, transformer: mini, mask: image}, {name: jigsaw}, {name: rotation}]"
    objective = f"objective={{name: joint, tasks: {tasks}, diversity: {{inner: 1, outer: 1}}}}"
    options = ["epochs=1", objective, "adversary=[{name: pgd, steps: 1}]"]
    one, two = run("one", *options, "accumulation=2"), run("two", *options, processes=2)
    assert len(one) == 3
    assert two == pytest.approx(one, abs=1e-5)


def test_a_run_of_two_processes_that_was_stopped_goes_on_in_two_or_in_one(run, tmp_path):
    whole = run("whole", "epochs=1", "accumulation=2")
    assert run("two", "epochs=1", processes=2, stop=2) == pytest.approx(whole[:2], abs=1e-5)
    assert not (tmp_path / "two" / "last").exists()
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    assert run("two", "epochs=1", processes=2) == pytest.approx(whole, abs=1e-5)
    assert run("one", "epochs=1", "accumulation=2") == pytest.approx(whole, abs=1e-5)
    for name in ("whole", "two", "one"):
        assert {path.name for path in (tmp_path / name).iterdir()} >= {"state.safetensors", "last", "recipe.yaml"}
        json.loads((tmp_path / name / "average" / "config.json").read_text())
