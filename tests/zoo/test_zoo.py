"""Every checkpoint of the zoo, by being listed: loads, is what its card says, and predicts."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from advss_zoo import resources
from advss_zoo.data.load import load_data
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import read_json
from advss_zoo.training import recipe
from advss_zoo.zoo import WEIGHTS, cards, checkpoint, index, load, sources
from advss_zoo.zoo.open import open_model

ENTRIES = index.entries()
CLASSIFIERS = [entry for entry in ENTRIES if entry.kind == "classifier"]
TRUNKS = [entry for entry in ENTRIES if entry.kind == "trunk"]
HERE = [entry for entry in ENTRIES if entry.stored == "bundled" or (resources.CHECKOUT / "weights").is_dir()]


def test_the_first_checkpoints_are_there():
    assert {"p1f3.mini", "p1f4.mini"} <= {entry.full_name for entry in ENTRIES}
    assert index.find(index.default_name()).kind == "classifier"


def test_each_name_has_one_default_tag():
    names = [entry.name for entry in ENTRIES]
    assert sorted(entry.name for entry in ENTRIES if entry.default) == sorted(set(names))


@pytest.mark.parametrize("entry", HERE, ids=lambda entry: entry.full_name)
def test_weights_are_what_the_index_says(entry):
    fetched = sources.fetch(entry.full_name)
    assert fetched.sha256 == entry.sha256
    if entry.kind == "ensemble":
        return
    model, config = checkpoint.load(fetched.path)
    assert (config.full_name, config.sha256) == (entry.full_name, entry.sha256)
    assert (fetched.path / WEIGHTS).stat().st_size == entry.bytes
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters


@pytest.mark.parametrize("entry", HERE, ids=lambda entry: entry.full_name)
def test_the_recipe_that_ships_is_the_one_the_weights_were_made_by(entry):
    made_by = sources.fetch(entry.full_name).path / "recipe.yaml"
    assert recipe.load_any(made_by) == recipe.load_any(entry.training["recipe"])


@pytest.mark.parametrize("entry", CLASSIFIERS, ids=lambda entry: entry.full_name)
def test_classifiers_get_as_many_real_images_right_as_their_cards_say(entry):
    images = load_data("cifar10-1k", "test").first(100)
    model = open_model(entry.full_name)
    predictions = model(torch.from_numpy(images.images).float() / 255).argmax(1).numpy()
    assert not model.training
    # Four standard errors of 100 images.
    assert (predictions == images.labels).mean() == pytest.approx(entry.ta, abs=0.2)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_cards_are_rendered_from_their_json(entry):
    path = resources.folder("cards") / f"{entry.full_name}.json"
    assert cards.render(read_json(path)) == index.card(entry.full_name)


@pytest.mark.parametrize("entry", TRUNKS, ids=lambda entry: entry.full_name)
def test_trunks_give_features_and_are_no_classifiers(entry):
    trunk = load.load_trunk(entry.full_name)
    network, _ = checkpoint.load(sources.fetch(entry.full_name).path)
    x = torch.rand(2, 3, 32, 32)
    assert not trunk.training
    assert torch.equal(trunk(x), network.features(x))
    assert trunk(x).shape == (2, network.trunk.out_channels, 8, 8)
    with pytest.raises(UsageError, match="pretrained trunk"):
        open_model(entry.full_name)


def test_the_trunk_of_a_classifier_can_be_had_too():
    entry = CLASSIFIERS[0]
    model = open_model(entry.full_name)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(model.network.head(load.load_trunk(entry.full_name)(x)), model(x))


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.training["parent"]], ids=lambda entry: entry.full_name)
def test_the_parent_on_a_card_is_the_parent_in_the_zoo(entry):
    assert index.find(entry.training["parent"]).sha256 == entry.training["parent_sha256"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_the_control_on_a_card_has_the_numbers_of_its_own_card(entry):
    control = read_json(resources.folder("cards") / f"{entry.full_name}.json")["control"]
    if control:
        other = index.find(control["name"])
        assert (control["ta"], control["ra"]) == (other.ta, other.ra)
        assert other.training["epochs"] == entry.training["epochs"]


def test_an_ensemble_on_the_spot_averages_probabilities():
    names = [entry.full_name for entry in CLASSIFIERS[:2]]
    x = torch.rand(4, 3, 32, 32)
    together = open_model("+".join(names))
    mean = torch.stack([open_model(name)(x).softmax(1) for name in names]).mean(0)
    assert torch.allclose(together(x).exp(), mean, atol=1e-6)
    assert together.name == "+".join(names)
    assert len(together.sha256) == 64


def test_unknown_names_bring_the_nearest():
    with pytest.raises(UsageError, match=r"Did you mean p1f4\.mini"):
        index.find("p1f44")
    with pytest.raises(UsageError, match=r"Choose from .*p1f4\.mini"):
        index.find("zebra")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    entry = CLASSIFIERS[0]
    folder = tmp_path / entry.full_name
    shutil.copytree(sources.fetch(entry.full_name).path, folder)
    weights = folder / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    monkeypatch.setattr(sources, "SOURCES", {"test": lambda entry: folder})
    with pytest.raises(CheckpointError, match="damaged"):
        sources.fetch(entry.full_name)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="not in this installation"):
        sources.fetch(entry.full_name)


@pytest.mark.parametrize(
    "change",
    [
        *({"name": "../x"}, {"tag": None}, {"results": 5}, {"results": [{}]}, {"results": [None]}, {"hub": 5}),
        {"results": [{"protocol": {"label": "pgd20"}, "data": {"name": "cifar10"}, "ta": None, "ra": None}]},
    ],
)
def test_a_damaged_index_is_a_sentence(change, tmp_path, monkeypatch):
    values = read_json(resources.folder("cards") / f"{ENTRIES[0].full_name}.json")
    (tmp_path / "a.json").write_text(json.dumps(values | change))
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    index.entries.cache_clear()
    try:
        with pytest.raises(AdvssError, match=r"describe|is not a checkpoint name|Hub repository is invalid"):
            index.entries()
        (tmp_path / "a.json").write_text("[]")
        with pytest.raises(AdvssError, match="does not describe a checkpoint"):
            index.entries()
    finally:
        index.entries.cache_clear()


def test_models_are_listed_by_pattern_tag_and_kind():
    everything = index.list_models()
    assert everything == [entry.full_name for entry in index.entries()]
    assert index.list_models("p1f4") == [name for name in everything if name.partition(".")[0] == "p1f4"]
    chosen = index.list_models("*f4*", tag="mini", kind="classifier")
    assert "p1f4.mini" in chosen
    assert all("f4" in name and name.endswith(".mini") and index.find(name).kind == "classifier" for name in chosen)
    assert index.list_models("no-such-*") == []
    with pytest.raises(UsageError, match="choose from trunk, classifier, ensemble"):
        index.list_models(kind="classifiers")
