"""A result without RA, whose details hold corruptions, among those of a checkpoint: card, `verify`, `reproduce`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from advss_zoo import resources
from advss_zoo.data.load import load_data
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.files import read_json
from advss_zoo.reproduction.ours import OurResults
from advss_zoo.workflows.verify import verify
from advss_zoo.zoo import cards, index, sources
from advss_zoo.zoo.open import open_model

NAME = "p1f4.mini"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corruptions")
    result = evaluate(open_model(NAME), load_data("cifar10-1k", "test").first(8), "corruptions", out=folder)
    return folder, result


@pytest.fixture
def released(evaluated, tmp_path, monkeypatch):
    """A copy of the checkpoint with this result alone, as an entry of the zoo."""
    source, result = evaluated
    folder = tmp_path / NAME
    shutil.copytree(sources.fetch(NAME).path, folder)
    place = folder / "results" / result.slug()
    shutil.copytree(source, place)
    entry = replace(index.find(NAME), results=[json.loads(json.dumps(result.to_dict()))])
    monkeypatch.setattr(index, "find", lambda name: entry)
    monkeypatch.setattr(sources, "SOURCES", {entry.stored: lambda entry: folder})
    return place


def checks():
    """What `verify` says of the result, which the weights and the card come before."""
    return list(verify(NAME, limit=4, device="cpu"))[2:]


@pytest.mark.usefixtures("released")
def test_verify_makes_the_evidence_again():
    recorded, again = checks()
    assert (recorded.passed, again.passed) == (True, True)
    assert again.detail == "4 of 4 new verdicts agree"


def test_verify_finds_evidence_that_was_touched_up(released):
    path = released / "verdicts.npz"
    arrays = dict(np.load(path))
    arrays["fog"] = np.full_like(arrays["fog"], 31)
    np.savez(path, **arrays)
    assert [check.passed for check in checks()] == [False]  # which is not made again


def test_verify_finds_a_number_that_was_touched_up(released):
    path = released / "result.json"
    document = read_json(path)
    document["details"]["corruption_accuracy"] = 0.99
    path.write_text(json.dumps(document))
    (recorded,) = checks()
    assert not recorded.passed
    assert "details" in recorded.detail


def test_a_card_has_the_accuracy_in_its_table_and_a_table_of_all_corruptions(evaluated):
    values = read_json(resources.folder("cards") / f"{NAME}.json")
    results = [document for document in values["results"] if document["ra"] is not None][:1]
    document = json.loads(json.dumps(evaluated[1].to_dict()))
    without, card = (cards.render(values | {"results": found}) for found in (results, [*results, document]))
    assert "corrupted" not in without.lower()
    details = document["details"]
    accuracy = cards.accuracy(details["corruption_accuracy"], details["corruption_accuracy_ci95"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("|")]
    heading, _, first, second, *_ = rows
    assert heading == ["protocol", "images", "TA", "RA", "corrupted"]
    assert first[4] == "-"
    assert (second[0], second[3], second[4]) == ("corruptions", "-", accuracy)
    fog = next(row for row in rows if row[0] == "fog")
    assert fog[1:6] == [f"{100 * value:.2f}" for value in details["corruptions"]["fog"]]
    assert sum("(extra)" in row[0] for row in rows) == 4
    assert {len(row) for row in rows} == {5, 7}


def test_reproduce_leaves_it_aside(evaluated, tmp_path):
    folder, result = evaluated
    shutil.copytree(folder, tmp_path / "eval" / "p1f4.mini-cifar10" / "corruptions")
    ours = OurResults(tmp_path)
    assert not ours.unreadable
    assert ours.of(NAME).result.protocol.label == "pgd20"
    assert Result.read(folder / "result.json") == result
