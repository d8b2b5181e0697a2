"""What work took is remembered on this machine, in a small file that may be damaged at any time."""

from __future__ import annotations

import json

import pytest
import torch

from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.training import recipe, speeds, trainer
from advss_zoo.training.cost import remember_evaluation

MINI = ResNetV2Architecture(depth=18, width=16)
PGD = speeds.evaluation(MINI, 32, "pgd20")


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path))
    return tmp_path / speeds.FILE


def test_nothing_is_known_at_first():
    assert speeds.recall(PGD, "cpu") is None


def test_the_median_of_the_last_five_counts():
    for seconds in (9.0, 9.0, 9.0, 1.0, 2.0, 1.5, 80.0, 1.0):
        speeds.remember(PGD, "cpu", seconds)
    assert speeds.recall(PGD, "cpu") == 1.5
    assert speeds.recall(speeds.evaluation(MINI, 64, "pgd20"), "cpu") is None
    assert speeds.recall(speeds.evaluation(MINI, 32, "pgd10"), "cpu") is None


def test_another_machine_is_asked_anew(monkeypatch):
    speeds.remember(PGD, "cpu", 1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert speeds.recall(PGD, "cpu") is None


def test_the_file_stays_small(file):
    for side in range(speeds.MOST + 10):
        speeds.remember(speeds.evaluation(MINI, side, "pgd20"), "cpu", 1.0)
    assert len(json.loads(file.read_text())) == speeds.MOST
    assert speeds.recall(speeds.evaluation(MINI, 9, "pgd20"), "cpu") is None
    assert speeds.recall(speeds.evaluation(MINI, 10, "pgd20"), "cpu") == 1.0


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_file_is_ignored_and_replaced(file, damage):
    speeds.remember(PGD, "cpu", 1.0)
    file.write_bytes(damage)
    assert speeds.recall(PGD, "cpu") is None
    speeds.remember(PGD, "cpu", 2.0)
    assert speeds.recall(PGD, "cpu") == 2.0


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "taken"))
    speeds.remember(PGD, "cpu", 1.0)
    assert speeds.recall(PGD, "cpu") is None


@pytest.mark.parametrize(
    ("seconds", "wall", "kept"),
    [
        (50.0, 60.0, 0.25),
        (2.0, 2.5, None),  # too short
        (50.0, 1.0, None),  # it was finished before
        (500.0, 60.0, None),  # by several processes, or in several sittings
    ],
)
def test_an_evaluation_is_remembered_that_was_made_in_one_go(seconds, wall, kept, monkeypatch):
    """Of its 50 seconds the process computed for half."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    watch = speeds.Stopwatch("cpu")
    watch.wall, watch.cpu = wall, wall / 2
    remember_evaluation(MINI, 32, "pgd20", images=100, seconds=seconds, watch=watch)
    assert speeds.recall(PGD, "cpu") == kept


def test_with_several_threads_all_seconds_count(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with speeds.Stopwatch("cpu") as watch:
        pass
    watch.wall, watch.cpu = 10.0, 5.0
    assert watch.share == 1


def test_a_run_remembers_what_its_steps_took(recipe_file, small_cache, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(small_cache / "data")
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    made = recipe.load(recipe_file, ["epochs=2", "validation.every=2"])
    trainer.train(made, tmp_path / "run")
    kept = json.loads((tmp_path / speeds.FILE).read_text())
    assert [key.partition(" ")[0] for key in kept] == ["training"] * 2  # with one attack pass, and with two
    assert all(0 < seconds < 60 for (seconds,) in kept.values())
