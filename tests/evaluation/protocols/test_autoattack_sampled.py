"""`autoattack-sampled`: who is attacked by what, the estimate, and what the verdicts do not depend on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from evaluation.helpers import quick
from safetensors.torch import load_file
from torch import nn

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import details
from advss_zoo.evaluation.protocols import parse, recorded
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts

EPS = 6 / 255


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)).eval()


@pytest.fixture
def data(model):
    """Two passes and a bit of smooth images (16x16), every ninth misclassified."""
    x = torch.rand(140, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = x.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    y = model(x).argmax(dim=1)
    y[::9] = (y[::9] + 1) % 4
    return x, y


@pytest.fixture
def runs(monkeypatch):
    """The calls of attacks, as (name, images, seed); what FAB finds is forgotten, so that some are left for Square."""
    runs, run = [], driver.run

    def noted(name, model, x, y, index, *, seed, **constants):
        runs.append((name, len(x), seed))
        return x if name == "fab-t" else run(name, model, x, y, index, seed=seed, **constants)

    monkeypatch.setattr(driver, "run", noted)
    return runs


def protocol(name="autoattack-sampled40", **settings):
    return quick(name, eps=EPS, **settings)


def test_the_slow_attacks_run_on_the_drawn_survivors_alone(runs, model, data):
    result = evaluate(model, data, protocol())
    verdicts, by = result.verdicts, result.verdicts.evidence["broken_by"]
    drawn, survived = verdicts.evidence["sampled"] == 1, verdicts.right & ~np.isin(by, (0, 1))
    assert drawn.sum() == 40
    assert 0 < (drawn & survived).sum() < survived.sum()
    assert sum(n for name, n, _ in runs if name == "apgd-ce") == verdicts.right.sum()
    assert [n for name, n, _ in runs if name == "fab-t"] == [(drawn & survived).sum()], "in one batch"
    assert (by[~drawn] < 2).all()
    sampled = result.details.sampled
    assert (sampled.survivors, sampled.attacked) == (survived.sum(), (drawn & survived).sum())
    assert "sampled attacks ran on" in result.warnings[-1]


def test_the_verdicts_are_in_the_order_of_the_data(model, data, tmp_path):
    evaluate(model, data, protocol(), out=tmp_path, save_adversarial=True)
    verdicts, saved = Verdicts.read(tmp_path / "verdicts.npz"), load_file(tmp_path / "adversarial.safetensors")
    assert verdicts.index.tolist() == list(range(140))
    assert verdicts.label.tolist() == data[1].tolist()
    assert ((saved["x_adv"] - data[0]).abs().amax(dim=(1, 2, 3)) <= EPS + 1e-6).all()
    assert torch.equal(model(saved["x_adv"]).argmax(dim=1), saved["y_adv"])
    assert check(tmp_path / "result.json").details.sampled is not None


def test_of_few_images_all_are_drawn_and_the_result_is_that_of_autoattack(model, data):
    few = tuple(part[:24] for part in data)
    sampled, whole = (evaluate(model, few, quick(name, eps=EPS)) for name in ("autoattack-sampled", "autoattack"))
    assert sampled.verdicts.evidence["sampled"].all()
    assert (sampled.verdicts.evidence["broken_by"] == whole.verdicts.evidence["broken_by"]).all()
    assert sampled.details.sampled.ra == sampled.ra == whole.ra
    assert sampled.details.sampled.ra_ci95 == (whole.ra, whole.ra)


def test_the_interval_holds_the_result_on_all_images(model, data):
    """Drawn by several seeds; the slow attacks break something here, unlike those of most models."""
    whole = evaluate(model, data, quick("autoattack-sampled140", eps=EPS))
    left = whole.details.attacks
    assert left[2].broken + left[3].broken > 2
    intervals = [evaluate(model, data, protocol(seed=seed)).details.sampled.ra_ci95 for seed in range(4)]
    assert all(low <= whole.ra <= high for low, high in intervals)
    assert len(set(intervals)) > 1


def test_the_sample_follows_the_seed_alone(model, data):
    index = torch.arange(140)
    drawn = [protocol(seed=seed).for_index(index).sample for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert protocol("autoattack-sampled20").for_index(index).sample < drawn[0]
    assert protocol().for_index(index[:100]).sample >= {i for i in drawn[0] if i < 100}


def test_names_and_constants():
    assert parse("autoattack-sampled").drawn == 128
    constants = parse("autoattack-sampled300", norm="l2", seed=2).constants()
    assert (constants["drawn"], constants["label"]) == (300, "autoattack-sampled300 (l2, eps 0.5)")
    assert [attack.get("sampled", False) for attack in constants["attacks"]] == [False, False, True, True]
    assert parse("autoattack-sampled").passes < parse("autoattack").passes / 4
    for name in ("autoattack-sampled0", "autoattack-sampled-5", "autoattack-sample"):
        with pytest.raises(UsageError, match="Unknown protocol"):
            parse(name)


def test_the_protocol_of_a_result_is_found_again(model, data):
    result = evaluate(model, data, protocol(seed=3))
    again = recorded(result.protocol)
    assert (again.name, again.drawn, again.seed, again.eps) == ("autoattack-sampled40", 40, 3, EPS)


class Kill(BaseException):
    pass


def test_a_kill_after_any_write_changes_nothing(model, data, tmp_path, monkeypatch):
    """Also between the verdicts in the order of the data and the result."""
    whole = evaluate(model, data, protocol(), out=tmp_path / "whole", save_adversarial=True)
    written = Verdicts.write
    for call in itertools.count():
        out, calls = tmp_path / str(call), itertools.count()

        def write(verdicts, path, calls=calls, call=call):
            written(verdicts, path)
            if next(calls) == call:
                raise Kill

        with monkeypatch.context() as patch:
            patch.setattr(Verdicts, "write", write)
            try:
                evaluate(model, data, protocol(), out=out, save_adversarial=True)
                break
            except Kill:
                pass
        resumed = evaluate(model, data, protocol(), out=out, save_adversarial=True)
        assert resumed.verdicts == whole.verdicts
        for file in ("verdicts.npz", "adversarial.safetensors"):
            assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert call > 3


def test_verdicts_that_contradict_the_sample_are_refused(model, data, tmp_path):
    result = evaluate(model, data, protocol(), out=tmp_path)
    verdicts = result.verdicts
    fell = verdicts.evidence["broken_by"] == 0
    verdicts.evidence["broken_by"][fell & (verdicts.evidence["sampled"] == 0)] = 2
    with pytest.raises(AdvssError, match="not in the sample"):
        details.derive(result.protocol, verdicts)
