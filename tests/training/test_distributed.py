"""Processes and accumulation: however a batch is cut, the losses are the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from advss_zoo.errors import UsageError
from advss_zoo.training import log, recipe, trainer
from advss_zoo.training.distributed import DistributedContext

# Several runs one after the other, because to start processes takes longer than all of them.
RUN = """
import json, sys
from contextlib import suppress
from pathlib import Path
from advss_zoo.training import curves, recipe, trainer

class Trainer(trainer.Trainer):
    def train_step(self):
        if self.state.step == stop:
            raise KeyboardInterrupt
        return super().train_step()

trainer.LOG_EVERY, trainer.SAVE_EVERY, trainer.Trainer = 1, -1.0, Trainer
curves.draw = lambda records, path: None
for name, options, stop in json.loads(sys.argv[1]):
    with suppress(KeyboardInterrupt):
        trainer.train(recipe.load("tiny.yaml", options), Path(name), resume=True)
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
TASKS = "[{name: selfie, transformer: mini, mask: image}, {name: jigsaw}, {name: rotation}]"
RUNS = {
    "frozen": ["trains=head", "normalize_by=running"],
    "head first": ["name=tuned", "head_first=0.5"],
    "eval": ["attack_mode=eval"],
    "train": ["attack_mode=train"],
    "joint": [
        f"objective={{name: joint, tasks: {TASKS}, diversity: {{inner: 1, outer: 1}}}}",
        "adversary=[{name: pgd, steps: 1}]",
    ],
}
TUNED = ("frozen", "head first")


def losses(out):
    return [record["loss"] for record in log.read(out / "log.jsonl") if "loss" in record]


@pytest.fixture(scope="module")
def options(pretrained):
    """Those of a run by its name."""
    tuned = ["epochs=1", f"parent={pretrained / 'average'}"]
    return {name: [*(tuned if name in TUNED else tuned[:1]), *its] for name, its in RUNS.items()}


@pytest.fixture(scope="module")
def pair(recipe_file, small_cache, options, tmp_path_factory):
    """The folder of the runs of two processes: each of `RUNS`, one stopped after two steps, and one continued there."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "run.py").write_text(RUN)
    shutil.copy(recipe_file, folder / "tiny.yaml")
    runs = [(name, its, -1) for name, its in options.items()]
    runs += [(name, options["eval"], stop) for name, stop in (("stopped", 2), ("continued", 2), ("continued", -1))]
    command = [sys.executable, "-m", *LAUNCH, "run.py", json.dumps(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ADVSS_CACHE": str(small_cache)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def one_thread():
    """As a launcher gives each of its processes: on the number of threads the rounding depends."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(recipe_file, tmp_path, monkeypatch, cache, one_thread):
    """The losses of a run of this process alone."""
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)

    def alone(name, *options):
        trainer.train(recipe.load(recipe_file, options), tmp_path / name, resume=True)
        return losses(tmp_path / name)

    return alone


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


def test_two_processes_with_frozen_statistics_have_the_losses_of_one(run, pair, options):
    one = run("one", *options["frozen"])
    assert len(one) == 3
    assert losses(pair / "frozen") == pytest.approx(one, abs=1e-5)


def test_two_processes_agree_on_what_trains(pair, pretrained):
    """Gradients are exchanged for the parameters that have any, before and after the change from head to everything."""
    parent, tuned = (
        load_file(folder / "model.safetensors") for folder in (pretrained / "average", pair / "head first" / "last")
    )
    assert not torch.equal(parent["trunk.conv1.weight"], tuned["trunk.conv1.weight"])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_two_processes_have_the_losses_of_one_that_normalises_each_half_by_itself(run, pair, options, mode):
    two = losses(pair / mode)
    assert two == pytest.approx(run("one", *options[mode], "accumulation=2"), abs=1e-5)
    assert two != pytest.approx(run("whole", *options[mode]), abs=1e-5), "batch norm does see the halves"


def test_two_processes_attack_jointly_as_one_does(run, pair, options):
    """Second-order gradients of three tasks, dropout included, are averaged over processes like any other."""
    one = run("one", *options["joint"], "accumulation=2")
    assert len(one) == 3
    assert losses(pair / "joint") == pytest.approx(one, abs=1e-5)


def test_a_run_of_two_processes_that_was_stopped_goes_on_in_two_or_in_one(run, pair, options, tmp_path):
    whole = losses(pair / "eval")
    assert losses(pair / "stopped") == whole[:2]
    assert not (pair / "stopped" / "last").exists()
    assert losses(pair / "continued") == whole
    shutil.copytree(pair / "stopped", tmp_path / "one")
    assert run("one", *options["eval"], "accumulation=2") == pytest.approx(whole, abs=1e-5)
    for folder in (pair / "eval", pair / "continued", tmp_path / "one"):
        assert {path.name for path in folder.iterdir()} >= {"state.safetensors", "last", "recipe.yaml"}
        json.loads((folder / "average" / "config.json").read_text())
