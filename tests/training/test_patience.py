"""Early stopping: when training stops, what it keeps, and that a kill changes neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advss_zoo.errors import UsageError
from advss_zoo.training import log, recipe, trainer
from advss_zoo.zoo import checkpoint

# An epoch is one step; every epoch is looked at.
OPTIONS = ["batch_size=120", "epochs=8", "deployed=best-ra", "validation.every=1", "validation.patience=2"]
PICKED = ("average", "last", "best-ta", "best-ra")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[float, float]]:
    """TA and RA by epoch, for the test to say; it must say those of all epochs that are run."""
    planned: dict[int, tuple[float, float]] = {}
    real = trainer.Trainer.validate

    def validate(self: trainer.Trainer) -> str:
        monkeypatch.setattr(
            trainer, "accuracies", lambda *what: planned[self.state.step // self.timeline.steps_per_epoch]
        )
        return real(self)

    monkeypatch.setattr(trainer.Trainer, "validate", validate)
    return planned


def epochs(run: Path) -> dict[str, float]:
    found = {picked: checkpoint.read_config(run / picked).provenance for picked in PICKED}
    return {picked: made.epochs for picked, made in found.items() if made}


def test_training_stops_where_it_leads_no_further(
    cache: Path, recipe_file: Path, tmp_path: Path, measured: dict[int, tuple[float, float]]
) -> None:
    measured |= {1: (0.3, 0.2), 2: (0.4, 0.3), 3: (0.5, 0.25), 4: (0.6, 0.28)}
    made = recipe.load(recipe_file, OPTIONS)
    assert trainer.train(made, tmp_path / "run") == tmp_path / "run" / "best-ra"
    assert epochs(tmp_path / "run") == {"average": 4, "last": 4, "best-ta": 4, "best-ra": 2}
    trainer.train(made, tmp_path / "run", resume=True)
    assert epochs(tmp_path / "run")["last"] == 4, "it does not go on after all"


def test_what_does_not_ship_earns_no_patience(
    cache: Path, recipe_file: Path, tmp_path: Path, measured: dict[int, tuple[float, float]]
) -> None:
    measured |= {1: (0.3, 0.2), 2: (0.2, 0.3), 3: (0.1, 0.4)}
    trainer.train(recipe.load(recipe_file, [*OPTIONS, "deployed=best-ta"]), tmp_path / "run")
    assert epochs(tmp_path / "run") == {"average": 3, "last": 3, "best-ta": 1, "best-ra": 3}


def test_of_equals_the_longest_trained_is_kept_and_does_not_count_as_better(
    cache: Path, recipe_file: Path, tmp_path: Path, measured: dict[int, tuple[float, float]]
) -> None:
    measured |= dict.fromkeys((1, 2, 3), (0.5, 0.5))
    trainer.train(recipe.load(recipe_file, OPTIONS), tmp_path / "run")
    assert epochs(tmp_path / "run") == dict.fromkeys(PICKED, 3)


def test_while_no_image_withstands_the_attack_yet_a_better_ta_earns_patience(
    cache: Path, recipe_file: Path, tmp_path: Path, measured: dict[int, tuple[float, float]]
) -> None:
    measured |= {1: (0.1, 0), 2: (0.2, 0), 3: (0.3, 0), 4: (0.4, 0), 5: (0.4, 0), 6: (0.3, 0)}
    trainer.train(recipe.load(recipe_file, OPTIONS), tmp_path / "run")
    assert epochs(tmp_path / "run")["last"] == 6


def test_a_collapse_is_but_a_reason_to_stop(
    cache: Path, recipe_file: Path, tmp_path: Path, measured: dict[int, tuple[float, float]]
) -> None:
    measured |= {1: (0.6, 0.4), 2: (0.7, 0.02)}
    trainer.train(recipe.load(recipe_file, OPTIONS), tmp_path / "run")
    assert epochs(tmp_path / "run") == {"average": 2, "last": 2, "best-ta": 2, "best-ra": 1}
    assert [r["epoch"] for r in log.read(tmp_path / "run" / "log.jsonl") if "validation" in r] == [1, 2]


def test_a_kill_does_not_start_the_waiting_anew(
    cache: Path,
    recipe_file: Path,
    tmp_path: Path,
    measured: dict[int, tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured |= {1: (0.3, 0.3), 2: (0.4, 0.2), 3: (0.5, 0.2)}
    made = recipe.load(recipe_file, OPTIONS)
    trainer.train(made, tmp_path / "unbroken")
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)

    def interrupt(done: int, *rest: Any) -> None:
        if done == 2:  # after the first look in vain
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(made, tmp_path / "broken", progress=interrupt)
    trainer.train(made, tmp_path / "broken", resume=True)
    assert epochs(tmp_path / "broken") == epochs(tmp_path / "unbroken")
    for picked in PICKED:
        one, other = (tmp_path / run / picked / "model.safetensors" for run in ("unbroken", "broken"))
        assert one.read_bytes() == other.read_bytes()


def test_the_last_weights_have_nothing_to_wait_for(recipe_file: Path) -> None:
    with pytest.raises(UsageError, match="`deployed` is average"):
        recipe.load(recipe_file, ["validation.patience=2"])
