"""`verify` passes what is right and finds what is not."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest

from advss_zoo import resources
from advss_zoo.errors import UsageError
from advss_zoo.files import read_json
from advss_zoo.workflows import verify as verify_module
from advss_zoo.workflows.verify import verify
from advss_zoo.zoo import cards, index, sources
from advss_zoo.zoo import facts as facts_module

NAME = "p1f4.mini"
CARDS = resources.folder("cards")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The checkpoint's folder, for the taking apart."""
    folder = tmp_path / NAME
    shutil.copytree(sources.fetch(NAME).path, folder)
    monkeypatch.setattr(sources, "SOURCES", {"copy": lambda entry: folder})
    return folder


def failures(limit=8):
    return [check for check in verify(NAME, limit=limit, device="cpu") if check.passed is False]


def result_folder(folder):
    return next((folder / "results").glob("*pgd20"))


def test_the_bundled_checkpoint_is_what_its_card_says(copy):
    checks = list(verify(NAME, limit=16, device="cpu"))
    assert [check.name for check in checks if not check.passed] == ["autoattack on cifar10-1k"], checks
    assert [check.detail for check in checks if check.passed is None] == [
        "skipped: several attacks take hours; use --full"
    ]
    assert len(checks) == 2 + 2 * len(index.find(NAME).results)


@pytest.mark.nightly
@pytest.mark.parametrize("entry", index.entries(), ids=lambda entry: entry.full_name)
def test_every_number_of_every_card_comes_out_again(entry):
    assert all(check.passed for check in verify(entry.full_name, full=True, device="cpu"))


def test_other_weights(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert [check.name for check in failures()] == ["weights"]


@pytest.mark.parametrize("change", ["touched up", "shorter", "missing"])
def test_verdicts_that_are_not_those_of_the_result(copy, change, monkeypatch):
    """Nothing is attacked to be compared with them, and what else there is to check is checked."""
    attacked = []
    monkeypatch.setattr(verify_module, "evaluate", lambda *_, **__: attacked.append(_))
    for each in copy.glob("results/*/verdicts.npz"):
        verdicts = dict(np.load(each))
        each.unlink()
        if change == "touched up":
            np.savez(each, **verdicts | {"clean_prediction": verdicts["label"]})
        elif change == "shorter":
            np.savez(each, **{name: array[:4] for name, array in verdicts.items()})
    every = [f"{result['protocol']['label']} on {result['data']['name']}" for result in index.find(NAME).results]
    assert [check.name for check in failures()] == every
    assert attacked == []


def test_a_number_that_was_touched_up(copy):
    path = result_folder(copy) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ra": 0.99}))
    first = next(check for check in verify(NAME, limit=8, device="cpu") if check.passed is False)
    assert "its verdicts give" in first.detail


def test_a_card_that_was_touched_up(copy, monkeypatch):
    card = index.card(NAME)
    monkeypatch.setattr(index, "card", lambda name: card.replace("percent", "per cent"))
    assert [check.name for check in failures()] == ["card"]


@pytest.mark.parametrize("entry", index.entries(), ids=lambda entry: entry.full_name)
def test_every_card_says_what_the_files_and_other_cards_say(entry):
    folder = sources.SOURCES[entry.stored](entry)
    if folder.is_dir():  # a source distribution lacks weights/
        facts_module.check_card(entry, folder)


@pytest.mark.parametrize("key", ["parameters", "bytes", "scenario"])
def test_a_card_that_says_something_else_than_the_files(copy, key, monkeypatch):
    said = {"parameters": 99, "bytes": 99, "scenario": "p3f4"}[key]
    monkeypatch.setattr(facts_module, "read_json", lambda path: read_json(path) | {key: said})
    monkeypatch.setattr(index, "card", lambda name: cards.render(facts_module.read_json(CARDS / f"{name}.json")))
    card = list(itertools.islice(verify(NAME, limit=8, device="cpu"), 2))[1]
    assert (card.name, card.passed) == ("card", False)
    assert f"says {key} = {said!r}, but" in card.detail


@pytest.mark.parametrize("name", ["tests:build", "model.onnx"])
def test_what_is_not_a_checkpoint_folder_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UsageError, match="is not a checkpoint folder"):
        list(verify(name))


def test_a_trunk_has_weights_and_a_card_to_check():
    trunk = next(entry for entry in index.entries() if entry.kind == "trunk")
    checks = list(verify(trunk.full_name, limit=8, device="cpu"))
    assert [check.name for check in checks] == ["weights", "card"]
    assert all(check.passed for check in checks)
