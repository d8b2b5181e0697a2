"""`suite`: models by protocols in one folder, resumable, shared, compared."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import advss_zoo as az
from advss_zoo.errors import UsageError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.statistics import paired_difference
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import held
from advss_zoo.resources import CHECKOUT
from advss_zoo.workflows.suite import LOCKS, SuiteFile
from advss_zoo.zoo import index

NETS = """
import torch
from torch import nn

def build(seed, classes=10):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(256, classes)).eval()

one, two, three, four = (lambda seed=seed: build(seed) for seed in range(4))
for number, made in enumerate((one, two, three, four)):
    made.__module__ = __name__

def seven():
    return build(0, 7)

class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build(0)

    def forward(self, x):
        return self.net(x + torch.rand_like(x))
"""

SMALL = """
models: [suite_nets:one, suite_nets:two]
evaluations:
  - {protocols: [clean, pgd2], data: cifar10-1k, limit: 16}
  - {protocols: [pgd3-margin], limit: 12, eps: 4/255, models: ["suite_nets:two"]}
"""
LARGE = """
models: [suite_nets:one, suite_nets:two, suite_nets:three, suite_nets:four]
evaluations:
  - {protocols: [clean, pgd20, pgd20-margin, apgd-ce, square], limit: 200}
"""


@pytest.fixture(autouse=True)
def _nets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suite_nets.py").write_text(NETS)
    sys.modules.pop("suite_nets", None)
    yield
    sys.modules.pop("suite_nets", None)


def written(text: str) -> Path:
    path = Path("suite.yaml")
    path.write_text(text)
    return path


def verdicts(folder: Path) -> dict[str, str]:
    return {
        str(path.parent.relative_to(folder)): Verdicts.read(path).sha256
        for path in sorted(folder.rglob("verdicts.npz"))
    }


def test_every_part_is_what_evaluate_gives():
    found = az.suite(written(SMALL), "out")
    assert [(r.model.name, r.protocol.label, r.n) for r in found.results] == [
        ("suite_nets:one", "clean", 16),
        ("suite_nets:one", "pgd2", 16),
        ("suite_nets:two", "clean", 16),
        ("suite_nets:two", "pgd2", 16),
        ("suite_nets:two", "pgd3-margin (linf, eps 4/255)", 12),
    ]
    alone = az.evaluate("suite_nets:two", "cifar10-1k", "pgd2", limit=16)
    assert found.results[3].verdicts == alone.verdicts
    assert not found.failures


def test_one_that_is_interrupted_everywhere_gives_the_results_of_an_unbroken_one():
    file = written(SMALL)
    expected = az.suite(file, "whole")
    for stop_after in range(1, 40):
        calls = 0

        def stop(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls >= stop_after:  # noqa: B023
                raise KeyboardInterrupt

        try:
            az.suite(file, "broken", progress=stop)
            break
        except KeyboardInterrupt:
            pass
    else:
        pytest.fail("the suite never got to its end")
    assert stop_after > 3
    assert verdicts(Path("broken")) == verdicts(Path("whole"))
    assert [r.fingerprint for r in az.suite(file, "broken").results] == [r.fingerprint for r in expected.results]


def test_what_another_process_holds_is_left_to_it():
    file, found = written(SMALL), []
    with held(Path("out", LOCKS, "00000000.lock")) as mine:
        assert mine
        thread = threading.Thread(target=lambda: found.append(az.suite(file, "out")))
        thread.start()
        deadline = time.monotonic() + 60
        while len(list(Path("out").rglob("result.json"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        done = {str(path.parent.name) for path in Path("out").rglob("result.json")}
        assert len(list(Path("out").rglob("result.json"))) == 4
        assert not Path("out", "suite_nets-one-cifar10-1k-16", "clean", "result.json").exists()
        assert "pgd2" in done
    thread.join(timeout=60)
    assert len(found[0].results) == 5


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing():
    file = written(SMALL)
    parts = az.plan_suite(file, "out")
    assert [part.protocol.name for part in parts] == ["clean", "pgd2", "clean", "pgd2", "pgd3-margin"]
    assert [part.images for part in parts] == [16, 16, 16, 16, 12]
    assert all(part.seconds > 0 and not part.is_done for part in parts)
    assert parts[1].seconds == pytest.approx(3 * parts[0].seconds)
    assert not Path("out").exists()
    az.suite(file, "out")
    assert all(part.is_done and part.seconds == 0 for part in az.plan_suite(file, "out"))


def test_a_model_that_is_named_twice_is_measured_once():
    twice = SMALL.replace("suite_nets:one,", "suite_nets:one, suite_nets:one,")
    assert [part.model for part in az.plan_suite(written(twice), "out")].count("suite_nets:one") == 2  # clean, pgd2


def test_costs_of_protocols():
    assert parse("pgd20", restarts=2).passes == 41
    assert parse("clean").passes == 1
    assert parse("autoattack").passes > parse("square").passes > parse("apgd-ce").passes > parse("pgd20").passes


def test_results_of_other_weights_are_not_taken_for_these():
    az.suite(written(SMALL), "out")
    Path("suite_nets.py").write_text(NETS.replace("range(4)", "range(4, 8)"))
    sys.modules.pop("suite_nets")
    with pytest.raises(UsageError, match="holds results of another evaluation"):
        az.suite(written(SMALL), "out")


def test_one_that_fails_does_not_stop_the_others():
    text = SMALL.replace("[suite_nets:one, ", "[suite_nets:Random, ")
    found = az.suite(written(text), "out")
    assert [result.model.name for result in found.results] == ["suite_nets:two"] * 3
    assert list(found.failures) == ["suite_nets:Random, clean on cifar10-1k", "suite_nets:Random, pgd2 on cifar10-1k"]
    assert "is random" in found.failures["suite_nets:Random, pgd2 on cifar10-1k"]


def test_a_model_of_other_classes_does_not_stop_the_others():
    text = SMALL.replace("[suite_nets:one, ", "[suite_nets:seven, ")
    found = az.suite(written(text), "out")
    assert [result.model.name for result in found.results] == ["suite_nets:two"] * 3
    assert "has 7 classes, but cifar10-1k has 10" in found.failures["suite_nets:seven, clean on cifar10-1k"]


def test_models_are_compared_on_the_same_images():
    found = az.suite(written(SMALL), "out")
    by_label = {each.protocol: each for each in found.compare()}
    assert list(by_label) == ["clean", "pgd2"]  # of the third there is one model
    clean = by_label["clean"]
    assert (clean.one, clean.other, clean.metric) == ("suite_nets:one", "suite_nets:two", "TA")
    assert clean.difference == pytest.approx(found.results[0].ta - found.results[2].ta)
    assert clean.low <= clean.difference <= clean.high
    assert clean.real == (clean.low > 0 or clean.high < 0)
    assert by_label["pgd2"].metric == "RA"


def test_a_paired_interval_is_narrower_than_one_of_apart_images():
    first = np.arange(200) % 2 == 0
    second = first.copy()
    second[:10] = False  # five fewer, all of the same images
    difference = paired_difference(first, second)
    assert difference.value == pytest.approx(5 / 200)
    assert difference.low > 0
    shuffled = np.random.RandomState(0).permutation(second)
    assert paired_difference(first, shuffled).low < 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "is not a suite"),
        ("models: []\nevaluations: [{protocols: [clean]}]", r"models: must have at least 1 entry\.$"),
        ("models: [a]\nevaluations: [{protocols: [clean], limits: 3}]", "limits"),
        ("models: [a]\nevaluations: [{protocols: [unheard]}]", "Unknown protocol 'unheard'"),
        ("models: [a]\nevaluations: [{protocols: [clean], models: [b]}]", "'b' is not among the models"),
        ("models: [a]\nevaluations: [{protocols: [clean], limit: 0}]", "limit"),
        ("models: &x [a]\nevaluations: *x", "aliases are not allowed"),
        ("models: [a", r"line 1, column 11: expected ',' or '\]', but got '<stream end>'\.$"),
        ("models: a\nevaluations: [{protocols: [clean]}]", r"models: must be a list, got 'a'\.$"),
        ("models: [a]\nevaluations: [{protocols: clean}]", r"evaluations.0.protocols: must be a list, got 'clean'\.$"),
    ],
)
def test_what_is_not_a_suite(text, says):
    with pytest.raises(UsageError, match=says):
        az.plan_suite(written(text))


def test_the_zoos_own_suite_makes_every_result_of_its_cards():
    suite = SuiteFile.read(CHECKOUT / "suites" / "zoo.yaml")
    planned = {
        (model, protocol.label(), evaluation.data, evaluation.limit)
        for evaluation in suite.evaluations
        for model in evaluation.models or suite.models
        for protocol in evaluation.parse()
    }
    whole = {"cifar10": 10_000, "cifar10-1k": 1_000}
    recorded = {
        (
            entry.full_name,
            result["protocol"]["label"],
            data["name"],
            None if data["n"] == whole[data["name"]] else data["n"],
        )
        for entry in index.entries()
        for result in entry.results
        for data in [result["data"]]
    }
    assert recorded <= planned


def start(folder: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "advss_zoo", "suite", "suite.yaml", "--out", folder]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)})


@pytest.mark.nightly
def test_one_that_is_killed_ten_times_gives_the_results_of_an_unbroken_one():
    written(LARGE)
    chance = random.Random(0)
    began = time.monotonic()
    assert start("whole").wait() == 0
    longest = time.monotonic() - began
    for _ in range(10):
        process = start("broken")
        try:
            process.wait(chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL)
    assert start("broken").wait() == 0
    assert verdicts(Path("broken")) == verdicts(Path("whole"))
    assert len(verdicts(Path("whole"))) == 20


@pytest.mark.nightly
def test_two_processes_share_one():
    written(LARGE)
    processes = [start("shared") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert start("whole").wait() == 0
    assert verdicts(Path("shared")) == verdicts(Path("whole"))
