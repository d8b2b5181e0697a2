"""`verify` passes what is right and finds what is not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from advss_zoo.zoo import index, sources
from advss_zoo.zoo.verify import verify

NAME = "p1f4.mini"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The checkpoint's folder, for the taking apart."""
    folder = tmp_path / NAME
    shutil.copytree(sources.fetch(NAME).path, folder)
    monkeypatch.setattr(sources, "SOURCES", {"copy": lambda entry: folder})
    return folder


def failures(limit=8):
    return [check for check in verify(NAME, limit=limit, device="cpu") if not check.passed]


def result_folder(folder):
    return next((folder / "results").glob("*pgd20"))


def test_the_bundled_checkpoint_is_what_its_card_says(copy):
    checks = list(verify(NAME, limit=16, device="cpu"))
    assert all(check.passed for check in checks), checks
    assert len(checks) == 2 + 2 * len(index.find(NAME).results)


@pytest.mark.nightly
@pytest.mark.parametrize("entry", index.entries(), ids=lambda entry: entry.full_name)
def test_every_number_of_every_card_comes_out_again(entry):
    assert all(check.passed for check in verify(entry.full_name, limit=None, device="cpu"))


def test_other_weights(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert [check.name for check in failures()] == ["weights"]


def test_a_verdict_that_was_touched_up(copy):
    path = result_folder(copy) / "verdicts.npz"
    verdicts = dict(np.load(path))
    verdicts["attacked_prediction"] = verdicts["label"]
    np.savez(path, **verdicts)
    assert len(failures()) == 2  # not the verdicts of the result, and not those that come out again


def test_a_number_that_was_touched_up(copy):
    path = result_folder(copy) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ra": 0.99}))
    assert "its verdicts give" in failures()[0].detail


def test_a_card_that_was_touched_up(copy, monkeypatch):
    card = index.card(NAME)
    monkeypatch.setattr(index, "card", lambda name: card.replace("percent", "per cent"))
    assert [check.name for check in failures()] == ["card"]


def test_a_trunk_has_weights_and_a_card_to_check():
    trunk = next(entry for entry in index.entries() if entry.kind == "trunk")
    checks = list(verify(trunk.full_name, limit=8, device="cpu"))
    assert [check.name for check in checks] == ["weights", "card"]
    assert all(check.passed for check in checks)
