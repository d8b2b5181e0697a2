"""AutoAttack as a protocol: the worst case, what counts as broken, and what the verdicts do not depend on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from evaluation.helpers import quick
from safetensors.torch import load_file
from torch import nn

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import runner
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.record import Record
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.store import Store
from advss_zoo.evaluation.verdicts import Verdicts

EPS = 6 / 255  # of the 72 images, 64 of them right, the first three attacks break about 46, 2 and 3, and 13 stand
ATTACKS = driver.STANDARD


def network(classes=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(128, classes)).eval()


def images(model, n=72):
    """A pass of 64 and one of 8: smooth images (16x16), every ninth misclassified."""
    x = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = x.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    y = model(x).argmax(dim=1)
    y[::9] = (y[::9] + 1) % model[-1].out_features
    return x, y


@pytest.fixture
def model():
    return network()


@pytest.fixture
def data(model):
    return images(model)


@pytest.fixture
def protocol():
    return quick("autoattack", eps=EPS)


def right(model, x, y):
    return model(x).argmax(dim=1) == y


@pytest.fixture
def runs(monkeypatch):
    """The calls of attacks, as (name, images); each may be replaced by what `runs.change(name, x, found)` gives."""

    class Runs(list):
        change = staticmethod(lambda name, x, found: found)

    runs, run = Runs(), driver.run

    def noted(name, model, x, y, index, **constants):
        runs.append((name, len(x)))
        return runs.change(name, x, run(name, model, x, y, index, **constants))

    monkeypatch.setattr(driver, "run", noted)
    return runs


# What it measures.


def test_an_image_is_robust_if_it_withstands_every_attack(protocol, model, data, tmp_path):
    """Beside two attacks on their own: one that runs first, and one without random numbers."""
    result = evaluate(model, data, protocol, out=tmp_path)
    verdicts = Verdicts.read(tmp_path / "verdicts.npz")
    broken_by = verdicts.evidence["broken_by"]
    first, *others = (attack.broken for attack in result.details.attacks)
    assert first > 30
    assert any(others), "or the first says it all"
    alone = {}
    for name in ("apgd-ce", "fab-t"):
        evaluate(model, data, quick(name, eps=EPS), out=tmp_path / name)
        alone[name] = Verdicts.read(tmp_path / name / "verdicts.npz").evidence["broken_by"] == 0
    assert (alone["apgd-ce"] == (broken_by == 0)).all()
    assert set(broken_by[alone["fab-t"]]) <= {0, 1, 2}, "by fab-t, or by an attack before it"
    assert result.ra == (verdicts.right & (broken_by < 0)).mean() > 0


def test_only_standing_images_are_attacked(protocol, runs, model, data, tmp_path):
    result = evaluate(model, data, protocol, out=tmp_path)
    verdicts = Verdicts.read(tmp_path / "verdicts.npz")
    expected = []
    for rows in (slice(0, 64), slice(64, 72)):
        standing = int(verdicts.right[rows].sum())
        for place, name in enumerate(ATTACKS):
            expected += [(name, standing)] * (standing > 0)
            standing -= int((verdicts.evidence["broken_by"][rows] == place).sum())
    assert runs == expected
    assert result.details.attacks[-1].accuracy == result.ra


def test_accuracies_fall_from_attack_to_attack(protocol, model, data):
    result = evaluate(model, data, protocol)
    accuracies = [result.ta, *(attack.accuracy for attack in result.details.attacks)]
    assert [attack.name for attack in result.details.attacks] == list(ATTACKS)
    assert all(before >= after for before, after in itertools.pairwise(accuracies))
    assert accuracies[1] < result.ta
    assert accuracies[-1] == result.ra > 0


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_adversarial_images_are_in_the_threat_model_and_misclassified(norm, model, tmp_path):
    eps = {"linf": EPS, "l2": 0.5, "l1": 4.0}[norm]
    data = images(model, 16)
    evaluate(model, data, quick("autoattack", norm=norm, eps=eps), out=tmp_path, save_adversarial=True)
    saved = load_file(tmp_path / "adversarial.safetensors")
    x, y = data
    delta = (saved["x_adv"].double() - x.double()).flatten(1)
    size = {"linf": delta.abs().amax(1), "l2": delta.norm(dim=1), "l1": delta.abs().sum(1)}[norm]
    assert (size <= eps + 1e-6 * max(1, eps)).all()
    assert 0 <= saved["x_adv"].min() <= saved["x_adv"].max() <= 1
    broken_by = Verdicts.read(tmp_path / "verdicts.npz").evidence["broken_by"]
    moved = size.numpy() > 0
    assert (moved == (broken_by >= 0)).all()
    assert moved.any()
    assert not right(model, saved["x_adv"], y)[moved].any()
    assert torch.equal(saved["y_adv"], model(saved["x_adv"]).argmax(dim=1))


def test_a_single_attack_is_a_protocol_of_its_own(runs, model):
    for name in driver.FEWEST_CLASSES:
        result = evaluate(model, images(model, 8), quick(name, eps=EPS))
        assert [attack.name for attack in result.details.attacks] == [name]
        assert "black_box_beats_white_box" not in result.details.to_dict()
    assert [name for name, _ in runs] == list(driver.FEWEST_CLASSES)


def test_quick_malt_attacks_few_targets_in_an_eighth_of_the_work():
    protocol = parse("quick-malt")
    assert protocol.passes < parse("autoattack").passes / 8
    assert [attack["n_target_classes"] for attack in protocol.constants()["attacks"]] == [driver.ATTACKED]
    assert protocol.label() == "quick-malt"


# Class counts.


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 7])
def test_models_of_few_classes(classes, tmp_path):
    model = network(classes)
    result = evaluate(model, images(model, 24), quick("autoattack", eps=2 / 255), out=tmp_path)
    ran = [attack.name for attack in result.protocol.attacks]
    assert ran == [attack.name for attack in result.details.attacks] == list(driver.suite(classes))
    assert result.protocol.label == f"autoattack ({'reduced, ' * (classes < 4)}linf, eps 2/255)"
    assert {getattr(attack, "n_target_classes", classes - 1) for attack in result.protocol.attacks} == {classes - 1}
    assert 0 < result.ra < result.ta, "some stand to the last target"
    assert check(tmp_path / "result.json") == result


@pytest.mark.nightly
@pytest.mark.parametrize("classes", [2, 3, 4, 7])
def test_models_of_few_classes_in_full(classes):
    """To the last step, target and query."""
    model = network(classes)
    result = evaluate(model, images(model, 24), parse("autoattack", eps=2 / 255))
    assert [attack.name for attack in result.details.attacks] == list(driver.suite(classes))
    assert 0 < result.ra < result.ta
    assert result.details.unconfirmed == 0


def test_the_reduced_version_says_so():
    assert parse("autoattack").for_classes(3).label() == "autoattack (reduced)"
    assert parse("autoattack").for_classes(4).label() == parse("autoattack").for_classes(1000).label() == "autoattack"
    assert parse("fab-t").for_classes(2).label() == "fab-t"


@pytest.mark.parametrize(
    ("name", "classes", "says"),
    [
        ("apgd-t", 3, "apgd-t needs at least 4 classes, but there are 3. Use autoattack, which takes what fits"),
        ("apgd-dlr", 2, "apgd-dlr needs at least 3 classes, but there are 2. Use autoattack, which takes what fits"),
        ("autoattack", 1, "autoattack needs at least 2 classes, but there are 1"),
        ("square", 1, "square needs at least 2 classes, but there are 1"),
    ],
)
def test_too_few_classes_are_a_sentence(name, classes, says):
    with pytest.raises(UsageError, match=says):
        parse(name).for_classes(classes)


# What counts as broken.


@pytest.mark.parametrize(
    "lie",
    [
        lambda x, found: (x + 3 * (found - x)).clamp(0, 1),  # outside the ball
        lambda x, found: found + torch.where(found > x, 2.0, 0.0),  # outside the box
        lambda x, found: x + (found - x) / 1000,  # not misclassified
        lambda x, found: found * float("nan"),
    ],
    ids=["ball", "box", "right", "nan"],
)
def test_a_claim_that_is_not_borne_out_does_not_count(lie, protocol, runs, model, data):
    honest = evaluate(model, data, protocol)
    runs.change = lambda name, x, found: lie(x, found) if name == "apgd-ce" else found
    result = evaluate(model, data, protocol)
    first, *others = result.details.attacks
    assert (first.name, first.broken, first.accuracy) == ("apgd-ce", 0, result.ta)
    assert result.details.unconfirmed >= honest.details.attacks[0].broken > 30
    assert others[0].broken > 30, "the next attack is given what the liar left"
    assert honest.details.unconfirmed == 0


def test_an_attack_that_breaks_what_no_gradient_attack_could_is_flagged(runs, model, data):
    runs.change = lambda name, x, found: found if name == "square" else x
    result = evaluate(model, data, quick("autoattack", eps=0.2))
    assert [attack.broken for attack in result.details.attacks][:3] == [0, 0, 0]
    assert result.details.black_box_beats_white_box is True


class Rounding(nn.Module):
    """Sees 8 levels of brightness only, so it has no gradient anywhere."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((x * 7).round() / 7)


def test_zero_gradients_are_counted(model, data):
    result = evaluate(Rounding(model), data, quick("autoattack", eps=0.2))
    assert result.details.zero_gradients == 1
    assert result.details.black_box_beats_white_box is True
    assert evaluate(model, data, quick("autoattack", eps=0.2)).details.zero_gradients == 0


class Dynamic(nn.Module):
    """Moves each image to where the model is surer of it before it classifies it."""

    def __init__(self, model, take):
        super().__init__()
        self.model, self.take = model, take

    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            slope = self.take(self.model(inner).logsumexp(dim=1).sum(), inner)
        return self.model(x + 1e-3 * slope.sign())


@pytest.mark.parametrize(
    "take", [lambda loss, x: torch.autograd.grad(loss, x)[0], lambda loss, x: loss.backward() or x.grad]
)
def test_a_defence_that_optimises_at_test_time_is_said(take, model, data):
    result = evaluate(Dynamic(model, take), data, quick("autoattack"))
    assert result.details.dynamic is True
    assert "computes gradients at test time" in result.warnings[-2]
    assert not evaluate(model, data, quick("autoattack")).details.dynamic


# What the verdicts do not depend on.


def test_repetitions(protocol, model, data):
    assert evaluate(model, data, protocol).verdicts == evaluate(model, data, protocol).verdicts


def test_the_network_sees_small_batches_in_multiples_of_eight(protocol, model):
    shapes, data = [], images(model, 69)
    model.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
    evaluate(model, data, protocol)
    assert {size % 8 for size in shapes if size <= 16} == {0}
    assert any(size % 8 for size in shapes), "larger ones are left as they are"
    assert len(set(shapes)) > 2, "images that are broken are left out"


def test_another_seed_gives_other_images_and_other_passes_other_numbers(model, data):
    x, y, index = *data, torch.arange(72)
    attack, other_seed = (quick("apgd-ce", eps=EPS, seed=seed).attack for seed in (0, 1))
    found = attack(model, x, y, index)
    assert torch.equal(attack(model, x, y, index), found)
    assert not torch.equal(other_seed(model, x, y, index), found)
    assert not torch.equal(attack(model, x, y, index + 64), found)


# Half precision.


def test_a_search_in_half_precision_says_so_and_of_which_attacks(model, data, tmp_path):
    half = replace(quick("autoattack", eps=EPS), search="bf16")
    result = evaluate(model, data, half, out=tmp_path)
    assert result.protocol.label == "autoattack (linf, eps 6/255, bf16 search)"
    searches = {attack.name: attack.search for attack in result.protocol.attacks}
    assert searches == {"apgd-ce": "bf16", "apgd-t": "bf16", "fab-t": "fp32", "square": "fp32"}
    single = evaluate(model, data, quick("autoattack", eps=EPS))
    assert {attack.search for attack in single.protocol.attacks} == {single.protocol.search} == {"fp32"}
    assert abs(result.ra - single.ra) <= 2 / 72
    assert result.details.unconfirmed == 0
    assert check(tmp_path / "result.json") == result


@pytest.mark.parametrize("name", ["fab-t", "square"])
def test_an_attack_that_does_not_search_in_half_precision_says_so(name):
    with pytest.raises(UsageError, match=f"--search cannot be used with {name}"):
        parse(name, search="bf16")


# Interruptions.


class Kill(BaseException):
    pass


def killed_at(call):
    """A progress that ends the process at one of its calls, or never."""
    calls = itertools.count()

    def progress(done, total, part):
        if next(calls) == call:
            raise Kill

    return progress


def attempt(model, data, protocol, out, progress=None):
    return evaluate(model, data, protocol, out=out, save_adversarial=True, progress=progress)


def test_a_kill_at_any_moment_costs_at_most_the_attack_it_hit(protocol, runs, model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SAVE_EVERY", 3_600.0)
    calls = []
    unbroken = attempt(model, data, protocol, tmp_path / "whole", lambda *call: calls.append(call))
    assert {part for _, _, part in calls} == {"", *ATTACKS}
    expected = sorted(runs)
    files = _contents(tmp_path / "whole")
    for call in range(len(calls)):
        runs.clear()
        out = tmp_path / str(call)
        with pytest.raises(Kill):
            attempt(model, data, protocol, out, killed_at(call))
        assert attempt(model, data, protocol, out).verdicts == unbroken.verdicts
        assert sorted(runs) == expected, "no attack was run twice"
        assert _contents(out) == files


def test_processes_that_live_for_one_attack_come_to_the_end(protocol, runs, model, data, tmp_path):
    unbroken = attempt(model, data, protocol, tmp_path / "whole")
    attacks = len(runs)

    def mortal(name, x, found):
        if len(runs) > 1:
            raise Kill
        return found

    runs.change = mortal
    for process in itertools.count(1):
        runs.clear()
        try:
            result = attempt(model, data, protocol, tmp_path / "cut")
            break
        except Kill:
            assert process < attacks
    assert process == attacks
    assert result.verdicts == unbroken.verdicts
    assert result.details == unbroken.details


def _contents(folder):
    """Every file that does not tell the time."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "result.json"}


@pytest.mark.parametrize("name", ["save", "keep", "finish", "_tidy"])
def test_a_kill_before_or_after_a_save(name, protocol, runs, model, data, tmp_path, monkeypatch):
    unbroken = attempt(model, data, protocol, tmp_path / "whole")
    original = getattr(Store, name)
    for after in (False, True):
        runs.clear()

        def dies(*arguments, after=after):
            if after:
                original(*arguments)
            raise Kill

        out = tmp_path / str(after)
        with monkeypatch.context() as patch:
            patch.setattr(Store, name, dies)
            with pytest.raises(Kill):
                attempt(model, data, protocol, out)
        assert attempt(model, data, protocol, out).verdicts == unbroken.verdicts
        assert _contents(out) == _contents(tmp_path / "whole")
        assert len(runs) <= 8, "what was done is not done again"


def test_parts_of_another_evaluation_are_neither_taken_nor_lost(protocol, model, data, tmp_path):
    with pytest.raises(Kill):
        attempt(model, data, protocol, tmp_path, killed_at(4))
    parts = set(tmp_path.glob("unfinished-*/parts/*"))
    with pytest.raises(UsageError, match=r"another evaluation: .*\(other constants: seed\)"):
        attempt(model, data, replace(protocol, seed=1), tmp_path)
    assert set(tmp_path.glob("unfinished-*/parts/*")) == parts != set()


def test_time_that_killed_processes_spent_is_counted(protocol, runs, model, data, tmp_path, monkeypatch):
    from advss_zoo.evaluation import record

    clock = itertools.count(step=100)
    monkeypatch.setattr(record.time, "perf_counter", lambda: next(clock))
    with pytest.raises(Kill):
        attempt(model, data, protocol, tmp_path, killed_at(3))
    assert len(list(tmp_path.glob("unfinished-*/parts/*"))) == 2
    monkeypatch.undo()
    assert attempt(model, data, protocol, tmp_path).seconds > 200


def test_without_a_folder_nothing_is_written(protocol, model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate(model, data, protocol)
    assert not list(tmp_path.iterdir())


def test_the_evidence_is_there_for_a_caller_of_the_attack_itself(protocol, model):
    x, y = images(model, 16)
    record = Record()
    protocol = protocol.for_classes(4)
    found = protocol.attack(model, x, y, torch.arange(16), record)
    assert protocol.ball == Ball("linf", EPS)
    assert protocol.ball.contains(found, x).all()
    assert set(record.evidence) == {"broken_by", "unconfirmed", "zero_gradient", "dynamic"}
    fell = right(model, x, y) & ~right(model, found, y)
    assert fell.any()
    assert torch.equal(record.evidence["broken_by"] >= 0, fell)
    assert torch.equal(found, protocol.attack(model, x, y, torch.arange(16)))
