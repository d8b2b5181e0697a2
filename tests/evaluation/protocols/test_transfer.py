"""`transfer`, beside loops that follow the paper's definition of its Table 4 and Figure 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation.protocols.ensembles import (
    EPS,
    NAMES,
    STEPS,
    Kill,
    counted,
    data,
    ensemble,
    killed_before,
    members,
    plain_pgd,
    probabilities,
    quick,
)
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.errors import UsageError
from advss_zoo.evaluation import runner
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.ensemble import Ensemble

N = 72


@pytest.fixture(scope="module")
def model():
    return ensemble()


@pytest.fixture(scope="module")
def evaluated(model, tmp_path_factory):
    """The result and the folder of an evaluation."""
    folder = tmp_path_factory.mktemp("transfer")
    return evaluate(model, data(model), quick("transfer"), out=folder, save_adversarial=True), folder


@pytest.fixture(scope="module")
def mistakes(model):
    """By source, None for the clean images, and target: the set of images that the target gets wrong."""
    x, y = data(model)
    shown = {None: x}
    for name, member in zip(NAMES, model.members, strict=True):
        shown[name] = plain_pgd(lambda z, member=member: cross_entropy(member(z), y), x)
    return {source: _wrong(model.members, images, y) for source, images in shown.items()}


def _wrong(models, x, y):
    predictions = {name: model(x).argmax(1) for name, model in zip(NAMES, models, strict=True)}
    predictions["ensemble"] = probabilities(models, x).argmax(1)
    return {name: set((found != y).nonzero().flatten().tolist()) for name, found in predictions.items()}


def test_its_attack_is_pgd20():
    ours, pgd20 = parse("transfer").constants(), parse("pgd20").constants()
    same = ("norm", "eps", "steps", "step_size", "start", "loss", "iterate", "restarts", "seed")
    assert {key: ours[key] for key in same} == {key: pgd20[key] for key in same}


def test_the_table_is_the_papers_table_4(evaluated, mistakes):
    shown = evaluated[0].details.transfer
    assert shown.sources == tuple(NAMES)
    assert shown.targets == (*NAMES, "ensemble")
    for source, rates, of_right in zip(NAMES, shown.asr, shown.asr_of_right, strict=True):
        for target, rate, rate_of_right in zip(shown.targets, rates, of_right, strict=True):
            assert rate == len(mistakes[source][target]) / N
            right = set(range(N)) - mistakes[None][target]
            assert rate_of_right == len(mistakes[source][target] & right) / len(right)
    assert len({rate for rates in shown.asr for rate in rates}) > 6, "or nothing is told apart"


def test_the_venn_counts_are_those_of_figure_5(evaluated, mistakes):
    for source in NAMES:
        (pair,) = evaluated[0].details.venn[source]
        one, other = pair.targets
        assert {source, one, other} == set(NAMES)
        one, other = mistakes[source][one], mistakes[source][other]
        areas = [one & other, one - other, other - one]
        assert all(areas)
        assert [pair.both, *pair.only] == [len(area) for area in areas]
        assert list(pair.of_union) == [len(area) / len(one | other) for area in areas]
        assert list(pair.of_all) == [len(area) / N for area in areas]


def test_ra_is_the_worst_case_over_the_sources(evaluated, mistakes):
    result, folder = evaluated
    fooled = [mistakes[source]["ensemble"] for source in NAMES]
    robust = set(range(N)) - mistakes[None]["ensemble"] - set.union(*fooled)
    assert result.ra == len(robust) / N > 0
    assert result.ta == 1 - len(mistakes[None]["ensemble"]) / N
    assert all(one - other for one in fooled for other in fooled if one is not other), "each breaks what others do not"
    assert check(folder / "result.json") == result


def test_the_diagonal_is_pgd20_of_each_model_alone(evaluated, model):
    shown = evaluated[0].details.transfer
    for place, member in enumerate(model.members):
        alone = evaluate(member, data(model), quick("pgd20"))
        assert shown.asr_of_right[place][place] == pytest.approx(1 - alone.ra / alone.ta)
        assert shown.asr[place][place] <= 1 - alone.ra


def test_the_images_kept_fool_the_ensemble_or_are_clean(evaluated, model, mistakes):
    x, y = data(model)
    kept = load_file(evaluated[1] / "adversarial.safetensors")["x_adv"]
    fooled = sorted(set.union(*(mistakes[source]["ensemble"] for source in NAMES)))
    spared = sorted(set(range(N)) - set(fooled))
    assert (probabilities(model.members, kept[fooled]).argmax(1) != y[fooled]).all()
    assert torch.equal(kept[spared], x[spared])
    assert 0 < (kept - x).abs().max() <= EPS + 1e-6


@pytest.mark.parametrize("count", [2, 7])
def test_from_two_to_seven_members(count, tmp_path):
    """Seven and the ensemble fill a byte; its highest bit is the ensemble's."""
    model = ensemble(count)
    x, y = data(model, 24)
    result = evaluate(model, (x, y), quick("transfer"), out=tmp_path)
    asr = np.array(result.details.transfer.asr)
    assert asr.shape == (count, count + 1)
    for place, member in enumerate(model.members):
        found = plain_pgd(lambda z, member=member: cross_entropy(member(z), y), x)
        wrong = [model(found).argmax(1) != y for model in model.members]
        assert asr[place, :-1].tolist() == [mask.double().mean().item() for mask in wrong]
        assert asr[place, -1] == (probabilities(model.members, found).argmax(1) != y).double().mean()
    assert len(result.details.venn[model.names[0]]) == (count - 1) * (count - 2) // 2
    assert check(tmp_path / "result.json") == result


class Bright(nn.Module):
    """Class 0 where an image is bright (or, with sign -1, dark) enough."""

    def __init__(self, sign, threshold):
        super().__init__()
        self.sign, self.threshold = sign, threshold

    def forward(self, z):
        brightness = self.sign * (z.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([brightness - self.threshold, torch.zeros_like(brightness)], dim=1)


def test_mistakes_count_among_all_and_not_among_what_is_right_clean():
    """Grey images of class 0. What darkens them for the first makes the second, which was wrong, right."""
    grey = torch.full((8, 3, 8, 8), 0.5), torch.zeros(8, dtype=torch.int64)
    result = evaluate(Ensemble([Bright(1, -0.001), Bright(-1, 0.002)]), grey, parse("transfer", eps=4 / 255))
    table = result.details.transfer
    assert [rates[:2] for rates in table.asr] == [(1, 0), (0, 1)]
    assert [rates[:2] for rates in table.asr_of_right] == [(1, None), (0, None)]


@pytest.mark.parametrize("part", ["", "0-from-a.mini", "2-from-c.mini"])
def test_a_kill_costs_at_most_one_source(part, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SAVE_EVERY", 3_600.0)
    model = ensemble()
    seen = counted(model)
    assert evaluate(model, data(model), quick("transfer")).verdicts == evaluated[0].verdicts
    needed, seen[:] = list(seen), [0] * 3
    with pytest.raises(Kill):
        evaluate(model, data(model), quick("transfer"), progress=killed_before(part), out=tmp_path)
    assert evaluate(model, data(model), quick("transfer"), out=tmp_path).verdicts == evaluated[0].verdicts
    again = [done - once for done, once in zip(seen, needed, strict=True)]
    assert max(again) < 64 * STEPS, "checks are made again, no attack on a pass is"


def test_the_starts_are_those_of_the_seed(model):
    first, other = (evaluate(model, data(model), quick("transfer", seed=seed)) for seed in (0, 1))
    assert first.verdicts != other.verdicts
    assert other.seed == 1


class Rounded(nn.Module):
    def __init__(self, member):
        super().__init__()
        self.member = member

    def forward(self, x):
        return self.member((x * 255).round() / 255)


def test_a_member_without_slope_is_a_warning():
    """The ensemble has a gradient, so nothing else would tell that one of the attacks went nowhere."""
    one, other = members(2)
    model = Ensemble([one, Rounded(other)])
    result = evaluate(model, data(model, 16), quick("transfer"))
    assert result.details.zero_gradients == 1
    assert result.warnings[0].startswith("16 of 16 images have a gradient of exactly 0")


@pytest.mark.parametrize("name", ["transfer", "ensemble-worst"])
def test_what_is_no_ensemble_is_a_sentence(name):
    one, other = members(2)
    images = data(Ensemble([one, other]), 8)
    for model in (one, Ensemble([one])):
        with pytest.raises(UsageError, match=rf"{name} needs an ensemble .*Join models with \+"):
            evaluate(model, images, name)
    with pytest.raises(UsageError, match=r"a is in the ensemble more than once\. Name each model once"):
        evaluate(Ensemble([one, other, one], ["a", "b", "a"]), images, name)
    with pytest.raises(UsageError, match=f"--restarts cannot be used with {name}"):
        parse(name, restarts=2)


def test_eight_members_are_too_many():
    model = ensemble(8)
    with pytest.raises(UsageError, match="at most 7 members, got 8"):
        evaluate(model, data(model, 8), "transfer")


def test_other_norms(model):
    result = evaluate(model, data(model, 24), parse("transfer", norm="l2", eps=0.3))
    assert result.protocol.label == "transfer (l2, eps 0.3)"
    with pytest.raises(UsageError, match="l1"):
        parse("transfer", norm="l1")
