"""`ensemble-worst`: each of its attacks beside a loop with the loss written out, and their union."""

from __future__ import annotations

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
    plain_pgd,
    probabilities,
    quick,
)
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, nll_loss

from advss_zoo.evaluation import runner
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts

N = 72
LOSSES = ["log-mean-probability", "mean-logits", "sum-of-losses", "mean-probability"]
PARTS = [*LOSSES, *(f"transfer from {name}" for name in NAMES)]


def _losses(models, y):
    """The attacks by their definitions, in the order of the parts."""

    def mean(z):
        return sum(model(z).softmax(1) for model in models) / len(models)

    return [
        lambda z: nll_loss(mean(z).log(), y),
        lambda z: cross_entropy(sum(model(z) for model in models) / len(models), y),
        lambda z: sum(cross_entropy(model(z), y) for model in models),
        lambda z: cross_entropy(mean(z), y),
        *(lambda z, model=model: cross_entropy(model(z), y) for model in models),
    ]


@pytest.fixture(scope="module")
def model():
    return ensemble()


@pytest.fixture(scope="module")
def evaluated(model, tmp_path_factory):
    """The result, the folder and the verdicts of an evaluation."""
    folder = tmp_path_factory.mktemp("ensemble-worst")
    result = evaluate(model, data(model), quick("ensemble-worst"), out=folder, save_adversarial=True)
    return result, folder, Verdicts.read(folder / "verdicts.npz")


@pytest.fixture(scope="module")
def made(model):
    """Adversarial images by the loops of the test, by part."""
    x, y = data(model)
    return {name: plain_pgd(loss, x) for name, loss in zip(PARTS, _losses(model.members, y), strict=True)}


@pytest.fixture(scope="module")
def right(model):
    x, y = data(model)
    return probabilities(model.members, x).argmax(1) == y


@pytest.fixture(scope="module")
def broken(model, made, right):
    """Which of the images that are right clean each part breaks."""
    _, y = data(model)
    return {name: right & (probabilities(model.members, z).argmax(1) != y) for name, z in made.items()}


def test_the_constants_are_those_of_pgd20():
    ours, pgd20 = parse("ensemble-worst").constants(), parse("pgd20").constants()
    same = ("norm", "eps", "steps", "step_size", "start", "iterate", "restarts", "seed")
    assert {key: ours[key] for key in same} == {key: pgd20[key] for key in same}


def test_each_part_alone(evaluated, right, broken):
    result, _, verdicts = evaluated
    for name in PARTS:
        assert verdicts.evidence[f"part_{name}"].astype(bool).tolist() == broken[name].tolist()
    assert result.details.to_dict()["parts"] == [
        {"name": name, "accuracy": (right & ~broken[name]).double().mean().item()} for name in PARTS
    ]
    assert len({part.accuracy for part in result.details.parts}) > 5, "or the losses are not told apart"


def test_ra_is_the_union_and_every_image_falls_once(evaluated, right, broken):
    result, folder, _ = evaluated
    standing, expected = right.clone(), []
    for name in PARTS:
        first = standing & broken[name]
        standing &= ~broken[name]
        expected.append({"name": name, "broken": int(first.sum()), "accuracy": standing.double().mean().item()})
    assert result.details.to_dict()["attacks"] == expected
    assert result.ra == standing.double().mean().item() > 0
    assert sum(attack["broken"] > 0 for attack in expected) > 1, "no part alone says it all"
    assert check(folder / "result.json") == result


def test_the_first_part_is_pgd20(evaluated, model, tmp_path):
    evaluate(model, data(model), quick("pgd20"), out=tmp_path)
    alone = Verdicts.read(tmp_path / "verdicts.npz")
    fell = alone.right & (alone.attacked_prediction != alone.label)
    assert evaluated[2].evidence["part_log-mean-probability"].astype(bool).tolist() == fell.tolist()


def test_the_images_kept_are_of_the_first_attack_that_broke_them(evaluated, model, made, broken, right):
    x, _ = data(model)
    kept = load_file(evaluated[1] / "adversarial.safetensors")["x_adv"]
    assert (kept - x).abs().max() <= EPS + 1e-6
    left = torch.ones_like(right)
    for name in PARTS:
        first = left & broken[name]
        left &= ~broken[name]
        # Where a gradient vanishes, rounding decides its sign: one of 150528 values here, at 4e-10 in double precision.
        assert torch.isclose(kept[first], made[name][first], atol=1e-6).sum() >= 0.9999 * kept[first].numel()
    assert torch.equal(kept[left], x[left])


def test_misclassified_images_are_not_attacked():
    model = ensemble()
    x, _ = data(model, 64)
    wrong = (probabilities(model.members, x).argmax(1) + 1) % 10
    seen = counted(model)
    result = evaluate(model, (x, wrong), "ensemble-worst")
    assert (result.ta, result.ra) == (0, 0)
    assert {part.accuracy for part in result.details.parts} == {0}
    assert max(seen) < 64 * 20, "fewer than one attack would need"


@pytest.mark.parametrize("part", ["1-mean-logits", "6-transfer-from-c.mini"])
def test_a_kill_costs_at_most_one_part(part, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SAVE_EVERY", 3_600.0)
    model = ensemble()
    seen = counted(model)
    evaluate(model, data(model), quick("ensemble-worst"))
    needed, seen[:] = list(seen), [0] * 3
    with pytest.raises(Kill):
        evaluate(model, data(model), quick("ensemble-worst"), progress=killed_before(part), out=tmp_path)
    assert evaluate(model, data(model), quick("ensemble-worst"), out=tmp_path).verdicts == evaluated[0].verdicts
    again = [done - once for done, once in zip(seen, needed, strict=True)]
    assert max(again) < 56 * STEPS, "checks are made again, no attack on the right images of a pass is"


def test_the_union_contains_what_transfers(evaluated, model):
    transferred = evaluate(model, data(model), quick("transfer"))
    assert evaluated[0].ra <= transferred.ra
    alone = {part.name: part.accuracy for part in evaluated[0].details.parts}
    for name, rates in zip(NAMES, transferred.details.transfer.asr_of_right, strict=True):
        assert alone[f"transfer from {name}"] == pytest.approx(transferred.ta * (1 - rates[-1]))
