"""A budget: a run that becomes slower ends in time all the same, and its recipe says what was run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from advss_zoo.errors import UsageError
from advss_zoo.training import log, recipe, speeds, timing, trainer
from advss_zoo.training.budget import Budget, Pace
from advss_zoo.training.schedules import Shortened, Timeline
from advss_zoo.training.timing import Seconds
from advss_zoo.zoo import checkpoint

PASS = 0.01  # seconds an image on a free machine
STEPS = (0.8, 1.2)  # seconds of a step of 40 images: of N-FGSM, and of PGD in the second half
LOOK = 0.8  # seconds of a validation
EPOCHS = 16  # of 3 steps
FREE = 24 * sum(STEPS) + 8 * LOOK  # seconds of the whole run
OPTIONS = [f"epochs={EPOCHS}", "deployed=last"]
PICKED = ("average", "last", "best-ta", "best-ra")


@pytest.fixture(autouse=True)
def _timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as plans know, a pass takes `PASS`."""
    monkeypatch.setattr(timing, "seconds_per_image", lambda work, part, device: Seconds(PASS, PASS))
    monkeypatch.setattr(speeds, "recall", lambda work, device: None)
    monkeypatch.setattr(speeds, "remember", lambda work, device, seconds: None)


class Machine:
    """A machine that is slower than a free one by `factor(seconds)`, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.factor: Callable[[float], float] = lambda now: 1.0

    def work(self, seconds: float) -> float:
        """Do what takes so long on a free machine; returns what it took."""
        took = seconds * self.factor(self.now)
        self.now += took
        return took


@pytest.fixture
def machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """What training runs on."""
    made = Machine()
    step, validate = trainer.Trainer.train_step, trainer.Trainer.validate

    def train_step(self: trainer.Trainer) -> torch.Tensor:
        made.work(STEPS[self.timeline.progress(self.state.step) >= 0.5])
        return step(self)

    def validated(self: trainer.Trainer) -> str:
        made.work(LOOK)
        return validate(self)

    monkeypatch.setattr(trainer.Trainer, "train_step", train_step)
    monkeypatch.setattr(trainer.Trainer, "validate", validated)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def weights(run: Path) -> dict[str, bytes]:
    return {picked: (run / picked / "model.safetensors").read_bytes() for picked in PICKED}


def test_a_run_that_is_fast_enough_is_as_it_is_without_a_budget(
    recipe_file: Path, tmp_path: Path, machine: Machine
) -> None:
    made = recipe.load(recipe_file, OPTIONS)
    trainer.train(made, tmp_path / "without")
    assert machine.now == pytest.approx(FREE)
    machine.now = 0.0
    trainer.train(made, tmp_path / "within", budget=Budget(FREE + LOOK + 5.1, after=5))
    assert machine.now == pytest.approx(FREE)
    assert recipe.load(tmp_path / "within" / "recipe.yaml") == made
    assert weights(tmp_path / "within") == weights(tmp_path / "without")


def test_a_run_that_becomes_slower_is_shortened_and_its_recipe_says_so(
    recipe_file: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, rates = trainer.learning_rate, []
    monkeypatch.setattr(trainer, "learning_rate", lambda *of: rates.append(rate(*of)) or rates[-1])  # type: ignore[func-returns-value]
    machine.factor = lambda now: 1.0 if now < 15 else 3.0
    budget = Budget(FREE + 10, after=3)
    trainer.train(recipe.load(recipe_file, OPTIONS), tmp_path / "run", budget=budget)
    assert machine.now + machine.work(budget.after) <= budget.seconds
    made = recipe.load(tmp_path / "run" / "recipe.yaml")
    assert made.epochs == EPOCHS
    assert EPOCHS / 3 < made.length < EPOCHS / 1.5
    config = checkpoint.read_config(tmp_path / "run" / "last")
    assert config.provenance is not None
    assert (config.provenance.epochs, config.provenance.recipe_sha256) == (made.length, made.sha256)
    assert rates[-1] < 0.2 * max(rates), "the learning rate falls to its end"
    records = log.read(tmp_path / "run" / "log.jsonl")
    told = [record["shortened"] for record in records if "shortened" in record]
    assert [each["to"] for each in told] == [each.epochs for each in made.shortened]
    assert len(told) <= 3
    assert records[-1]["epoch"] == pytest.approx(made.length, abs=1e-3)
    assert "validation" in records[-1]
    assert records[-1]["adversary"] == "pgd", "the last phase is reached"


def test_a_shortened_run_is_resumed_and_repeated_to_the_same_weights(
    recipe_file: Path, tmp_path: Path, machine: Machine
) -> None:
    made, budget = recipe.load(recipe_file, OPTIONS), Budget(FREE, after=3)
    machine.factor = lambda now: 2.0

    def kill(done: int, total: int, note: str) -> None:
        if total < 3 * EPOCHS and done == 16:  # some steps after it was shortened
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(made, tmp_path / "run", progress=kill, budget=budget)
    machine.factor = lambda now: 0.5
    trainer.train(made, tmp_path / "run", resume=True, budget=budget)
    shortened = recipe.load(tmp_path / "run" / "recipe.yaml")
    assert shortened.length < EPOCHS
    trainer.train(shortened, tmp_path / "again")
    assert weights(tmp_path / "again") == weights(tmp_path / "run")
    assert recipe.load(tmp_path / "again" / "recipe.yaml") == shortened


@pytest.mark.parametrize("slower", [1.5, 3.0, 10.0])
@pytest.mark.parametrize("since", [0.0, 0.3, 0.7])
def test_what_comes_after_training_ends_in_time_whenever_it_becomes_slower(
    recipe_file: Path, slower: float, since: float
) -> None:
    """Of 600 steps with 8 validations, by the speed of the last of them alone."""
    made, machine = recipe.load(recipe_file, ["epochs=16", "validation.every=2"]), Machine()
    shortened: list[Shortened] = []
    timeline = Timeline(16, 40, shortened)
    seconds = 320 * sum(STEPS) + 8 * LOOK
    budget = Budget(1.1 * seconds + 20, after=20)
    pace, step = Pace(budget, made, torch.device("cpu")), 0
    machine.factor = lambda now: slower if now > since * seconds else 1.0
    while step < timeline.steps:
        progress = timeline.progress(step)
        seconds_of_step = machine.work(STEPS[progress >= 0.5])
        step += 1
        fitting = pace.stepped(seconds_of_step, machine.now, step, timeline)
        if fitting is not None:
            shortened.append(Shortened(at=step / 40, epochs=(step + fitting) / 40))
        if step % 80 == 0 or step == timeline.steps:
            pace.validated(machine.work(LOOK))
    machine.work(budget.after)
    last = machine.work(STEPS[1])  # no step can be left in the middle
    assert 0.75 * budget.seconds < machine.now - last <= budget.seconds + last
    assert 1 <= len(shortened) <= 4
    # The schedule is gone through to its end, unless there was time for nothing more when it became slower.
    assert timeline.progress(step - 1) > 0.95 or (since, slower) == (0.7, 10.0)


def test_nothing_fits_any_more(recipe_file: Path) -> None:
    """A machine that stands still for longer than there was time."""
    pace = Pace(Budget(100.0, after=5), recipe.load(recipe_file, OPTIONS), torch.device("cpu"))
    assert pace.stepped(120.0, 120.0, 1, Timeline(EPOCHS, 3)) == 0


@pytest.mark.parametrize(
    "shortened", ["[{at: 3, epochs: 2}]", "[{at: 1, epochs: 9}]", "[{at: 2, epochs: 4}, {at: 1, epochs: 3}]"]
)
def test_a_recipe_cannot_have_been_shortened_like_this(recipe_file: Path, shortened: str) -> None:
    with pytest.raises(UsageError, match="`shortened` must name"):
        recipe.load(recipe_file, ["epochs=8", f"shortened={shortened}"])
