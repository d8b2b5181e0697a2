"""The cost of a recipe is counted, not guessed; only the seconds are an estimate."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.data.load import count_for_training
from advss_zoo.evaluation import protocols
from advss_zoo.training import cost, recipe, speeds, timing
from advss_zoo.training.schedules import Timeline
from advss_zoo.training.timing import Seconds

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path))


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """An attack pass takes 1 s an image and an update 10, on a machine that is half free; returns what was timed."""
    seen = []

    def seconds_per_image(work, part, device):
        seen.append((part, work))
        return {"attack": Seconds(1.0, 2.0), "update": Seconds(10.0, 20.0)}[part]

    monkeypatch.setattr(timing, "seconds_per_image", seconds_per_image)
    monkeypatch.setattr(timing, "present_slowdown", lambda device: 2.0)
    return seen


@pytest.mark.parametrize(
    ("name", "options", "passes"),
    [
        ("p1f3.mini", [], 1),
        ("p1f4.mini", [], 0.3 * 2 + 0.7 * 3),
        ("p1f4.r50", ["profile=paper"], 11),
        ("rotation-p3.r50", ["profile=paper"], 12),  # 10 of the attack, one clean and one attacked
        ("rotation-rs.r50", [], 1),
        ("p1f4.mini", ["objective.name=trades"], 1 + 0.3 * 2 + 0.7 * 3),
    ],
)
def test_passes_an_image(name, options, passes):
    assert cost.estimate(recipe.load(name, options)).passes_per_image == pytest.approx(passes)


def test_images_that_are_trained_on():
    assert count_for_training("cifar10") == 45_000
    assert count_for_training("edm-30k") == 30_000
    assert count_for_training("edm-1m") == 995_000
    assert count_for_training("cifar10-5k") == 5_000


def test_the_time_is_that_of_attacks_and_updates_and_validation():
    made = recipe.load("p1f4.mini", ["epochs=8"])
    found = cost.estimate(made, images=100)
    training, validation = 8 * 100 * (1.7 * 1 + 10), 2 * 1_000 * 11
    assert found.parts == pytest.approx({"training": training, "validation": validation})
    assert found.seconds == pytest.approx(training + validation)
    assert found.seconds_now == pytest.approx(2 * found.seconds)


def test_a_trunk_that_is_frozen_at_first_is_timed_as_such(asked):
    made = recipe.load("selfie-p3f4.mini", ["head_first=0.2"])
    assert next((piece.share, piece.work.head_alone) for piece in cost.pieces(made)) == (0.2, True)
    assert sum(piece.share for piece in cost.pieces(made)) == pytest.approx(1)
    cost.estimate(made)
    assert {(part, work.head_alone) for part, work in asked} == {
        ("update", True),
        ("update", False),
        ("attack", False),
    }


def test_images_that_grow_are_timed_at_each_size(asked):
    made = recipe.load("selfie-p3f4.small")
    assert {piece.work.side for piece in cost.pieces(made)} == {16, 24, 32}
    assert sum(piece.share for piece in cost.pieces(made)) == pytest.approx(1)


def test_a_teacher_takes_forward_passes():
    without, taught = (cost.estimate(recipe.load("p1f4.mini", more), images=100) for more in ([], ["teacher=self"]))
    added = 32 * 100 * 1 / 3  # a third of a pass for every image of 32 epochs
    assert taught.seconds - without.seconds == pytest.approx(added)


def test_it_is_a_share_of_the_batch_that_is_timed(asked):
    cost.estimate(recipe.load("p1f4.mini", ["accumulation=4"]))
    assert {work.batch_size for _, work in asked} == {32}


def records(seconds_a_step, until, validated):
    """What a run logs every 50 steps, of which validation takes 1,000 seconds."""
    step, seconds = 0, 0.0
    while step < until:
        step, seconds = step + 50, seconds + 50 * seconds_a_step(step)
        yield {"step": step, "seconds": seconds, "loss": 1.0}
        if step in validated:
            yield {"step": step, "seconds": seconds, "validation": {"ta": 0.5, "ra": 0.3}}
            seconds += 1_000


def watch(share=1.0):
    made = speeds.Stopwatch("cpu")
    made.wall, made.cpu = 100.0, 100.0 * share
    return made


def test_what_a_run_took_is_the_next_estimate(asked, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    made = recipe.load("p1f4.mini")  # N-FGSM until 0.3, PGD-2 after it
    logged = records(lambda step: 1.28 if step < 3_000 else 2.56, 10_000, {2_000, 8_000})
    cost.remember_run(made, list(logged), Timeline(100, 100), watch(share=0.5))
    asked.clear()
    found = cost.estimate(made, images=1_000)
    # Half of the time others ran: 0.01 s an image are 0.005.
    assert found.parts["training"] == pytest.approx(32 * 1_000 * (0.3 * 0.005 + 0.7 * 0.01))
    assert {part for part, _ in asked} == {"attack"}  # for validation
    wider = recipe.load("p1f4.mini", ["architecture.width=32"])
    assert cost.estimate(wider, images=1_000).parts["training"] == pytest.approx(32 * 1_000 * 11.7)


def test_a_run_without_a_whole_stretch_in_its_log_says_nothing(tmp_path):
    cost.remember_run(recipe.load("p1f4.mini"), [{"step": 50, "seconds": 9.0}], Timeline(1, 100), watch())
    assert not (tmp_path / speeds.FILE).exists()


def test_an_evaluation_takes_its_passes_or_what_it_took_before():
    made, pgd20 = recipe.load("p1f4.mini"), protocols.parse("pgd20")
    assert cost.evaluation(made, pgd20, 100) == pytest.approx(100 * 21)
    speeds.remember(speeds.evaluation(made.architecture, 32, pgd20.label()), "cpu", 0.5)
    assert cost.evaluation(made, pgd20, 100) == pytest.approx(50)
    assert cost.evaluation(made, protocols.parse("pgd10"), 100) == pytest.approx(100 * 11)
