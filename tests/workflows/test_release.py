"""A run becomes a checkpoint of the zoo, with numbers that its results bear out."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from advss_zoo import load_model, resources
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.files import read_json
from advss_zoo.models.model import Model
from advss_zoo.training import recipe, trainer
from advss_zoo.training.assembly import assemble
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.workflows.release import add, release
from advss_zoo.zoo import cards, checkpoint, ensembles, index

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
    evaluate(Model(model, config.full_name, config.sha256), images, "clean", out=tmp_path / "clean")
    return folder, tmp_path / "clean"


def test_weights_results_and_card_come_to_their_place(checkout, run):
    folder, result = run
    (folder.parent / "curves.png").write_bytes(b"a drawing")
    release(folder, **WORDS, result=[result])
    released = checkout / "weights" / "tiny.test"
    assert checkpoint.load(released)[1] == checkpoint.load(folder)[1]
    assert (released / "recipe.yaml").is_file()
    assert (released / "curves.png").read_bytes() == (folder.parent / "curves.png").read_bytes()
    assert (released / "results" / "arrays-clean" / "verdicts.npz").is_file()
    values = read_json(checkout / "cards" / "tiny.test.json")
    assert values["results"] == [read_json(result / "result.json")]
    assert [look.keys() for look in values["training"]["curve"]] == [{"epoch", "ta", "ra"}]
    card = (checkout / "cards" / "tiny.test.md").read_text()
    assert card == (released / "README.md").read_text() == cards.render(values)
    assert f"{100 * values['results'][0]['ta']:.2f}" in card


def test_a_result_is_added_to_what_is_there(checkout, run, tmp_path):
    folder, result = run
    release(folder, **WORDS, result=[result])
    index.entries.cache_clear()
    model, config = checkpoint.load(folder)
    images = np.random.default_rng(0).integers(0, 256, (16, 3, 32, 32), dtype=np.uint8), np.arange(16)
    more = tmp_path / "pgd1"
    evaluate(Model(model, config.full_name, config.sha256), images, "pgd1", out=more)
    for _ in range(2):  # the second time in place of the first
        add("tiny.test", [more])
    values = read_json(checkout / "cards" / "tiny.test.json")
    assert values["results"] == [read_json(path / "result.json") for path in (result, more)]
    released = checkout / "weights" / "tiny.test"
    assert (released / "results" / "arrays-pgd1" / "verdicts.npz").is_file()
    assert (released / "README.md").read_text() == cards.render(values)
    evaluate(Model(model, "tiny.test", "0" * 64), images, "clean", out=tmp_path / "other")
    with pytest.raises(UsageError, match="other weights"):
        add("tiny.test", [tmp_path / "other"])


def test_a_name_without_a_tag_goes_on_to_mean_what_it_meant(checkout, fresh_index, run, recipe_file, tmp_path):
    other = trainer.train(recipe.load(recipe_file, ["epochs=2", "tag=other"]), tmp_path / "other")
    for folder in (run[0], other, run[0]):
        release(folder, **WORDS)
        index.entries.cache_clear()
    assert [(entry.full_name, entry.default) for entry in index.entries()] == [
        ("tiny.other", False),
        ("tiny.test", True),
    ]
    release(other, **WORDS, default=True)
    assert read_json(checkout / "cards" / "tiny.other.json")["default"]


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


def test_a_trunk_is_released_with_its_pretext_accuracy(checkout, pretrained):
    release(pretrained / "average", **WORDS)
    values = read_json(checkout / "cards" / "tiny-p3.test.json")
    card = (checkout / "cards" / "tiny-p3.test.md").read_text()
    assert (values["kind"], values["results"], values["classes"]) == ("trunk", [], [])
    assert "load_trunk" in card
    assert f"in the pretext task TA {100 * values['training']['validation']['ta']:.2f}" in card


@pytest.fixture
def fresh_index(checkout):
    """The zoo of this checkout, not of another."""
    index.entries.cache_clear()
    yield
    index.entries.cache_clear()


def test_an_ensemble_is_released_without_a_second_copy_of_its_members(checkout, run, fresh_index, tmp_path):
    folder, result = run
    release(folder, **WORDS, result=[result])
    index.entries.cache_clear()
    made_of = EnsembleRecipe(name="pair", tag="test", scenario="p1f4", members=[str(folder), str(folder)])
    release(assemble(made_of, tmp_path / "pair.test"), **WORDS)
    released = checkout / "weights" / "pair.test"
    assert sorted(path.name for path in released.iterdir()) == ["README.md", "config.json", "recipe.yaml"]
    index.entries.cache_clear()
    entry = index.find("pair")
    assert (entry.kind, entry.sha256) == ("ensemble", ensembles.read(released).sha256)
    assert entry.bytes == 2 * index.find("tiny").bytes
    x = torch.rand(2, 3, 32, 32)
    alone = load_model("tiny")(x).log_softmax(1)
    assert torch.allclose(load_model("pair")(x), alone, atol=1e-6)
    assert "Nothing is trained but the members, tiny.test, tiny.test" in (released / "README.md").read_text()


def test_a_fine_tuned_checkpoint_shows_parent_and_control(checkout, fresh_index, run, recipe_file, pretrained):
    folder, result = run
    release(folder, **WORDS, result=[result])
    index.entries.cache_clear()
    tuned = trainer.train(recipe.load(recipe_file, ["name=tuned", "parent=tiny-p3.test"]), pretrained.parent / "tuned")
    release(tuned, **WORDS, control="tiny")
    index.entries.cache_clear()
    card = (checkout / "cards" / "tuned.test.md").read_text()
    assert "The control, tiny.test, has the same fine-tuning" in card
    assert "The trunk was copied from tiny-p3.test" in card
