"""A run becomes a checkpoint of the zoo, with numbers that its results bear out."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from advss_zoo import resources
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.runner import Subject, evaluate
from advss_zoo.files import read_json
from advss_zoo.training import recipe, trainer
from advss_zoo.training.release import release
from advss_zoo.zoo import cards, checkpoint

WORDS = {"summary": "A tiny net.", "limits": "For tests.", "machine": "a test"}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A source checkout with nothing in it but the template of the cards."""
    place = tmp_path / "checkout"
    (place / "cards").mkdir(parents=True)
    shutil.copy(resources.folder("cards") / cards.TEMPLATE, place / "cards")
    monkeypatch.setattr(resources, "CHECKOUT", place)
    return place


@pytest.fixture
def run(cache, recipe_file, tmp_path):
    folder = trainer.train(recipe.load(recipe_file, ["epochs=2"]), tmp_path / "run")
    model, config = checkpoint.load(folder)
    images = np.random.default_rng(0).integers(0, 256, (16, 3, 32, 32), dtype=np.uint8), np.arange(16)
    evaluate(model, images, "clean", out=tmp_path / "clean", subject=Subject(config.full_name, config.sha256))
    return folder, tmp_path / "clean"


def test_weights_results_and_card_come_to_their_place(checkout, run):
    folder, result = run
    release(folder, **WORDS, result=[result])
    released = checkout / "weights" / "tiny.test"
    assert checkpoint.load(released)[1] == checkpoint.load(folder)[1]
    assert (released / "recipe.yaml").is_file()
    assert (released / "results" / "arrays-clean" / "verdicts.npz").is_file()
    values = read_json(checkout / "cards" / "tiny.test.json")
    assert values["results"] == [read_json(result / "result.json")]
    card = (checkout / "cards" / "tiny.test.md").read_text()
    assert card == (released / "README.md").read_text() == cards.render(values)
    assert f"{100 * values['results'][0]['ta']:.2f}" in card


def test_a_result_of_other_weights_is_refused(checkout, run, recipe_file):
    folder, result = run
    with pytest.raises(UsageError, match="other weights"):
        release(folder.parent / "last", **WORDS, result=[result])


def test_a_result_that_its_verdicts_do_not_bear_out_is_refused(checkout, run):
    folder, result = run
    path = result / "result.json"
    path.write_text(path.read_text().replace('"ta": ', '"ta": 0.5, "_": ', 1))
    with pytest.raises(AdvssError):
        release(folder, **WORDS, result=[result])
    assert not (checkout / "weights").exists()
