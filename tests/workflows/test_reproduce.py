"""Reproducing as a function: typed values in and out, and Figure 1 as a drawing."""

from __future__ import annotations

import random

import pytest
from reproduction import made_up

from advss_zoo.errors import UsageError
from advss_zoo.results_page import scene
from advss_zoo.workflows.reproduce import figure1, reproduce
from advss_zoo.zoo import index


@pytest.fixture(autouse=True)
def _no_cards(monkeypatch):
    monkeypatch.setattr(index, "entries", lambda: ())


def test_a_table_is_a_value(tmp_path):
    made_up.measure(tmp_path, "p1f4.mini", 0.7, 0.4)
    found = reproduce("table3", tag="mini", runs=tmp_path)
    row = found.rows[1]
    assert (row.checkpoint, row.ours.values["ra"], row.ours.changes) == ("p1f4.mini", 0.4, ())
    assert found.to_dict()["rows"][1]["ours"]["values"] == {"ta": 0.7, "ra": 0.4, "epochs": 16.0}


@pytest.mark.parametrize(("table", "tag", "says"), [("tabel3", "mini", "table3"), ("table3", "huge", "mini, r50")])
def test_what_there_is_not_is_refused(table, tag, says, tmp_path):
    with pytest.raises(UsageError) as refused:
        reproduce(table, tag=tag, runs=tmp_path)
    assert says in f"{refused.value.message} {refused.value.hint}"


def test_figure_1_has_the_papers_models_hollow_and_ours_filled(tmp_path):
    chance = random.Random(3)
    parts = made_up.TASKS
    for name in ("p1f4.mini", *parts, "apdpe-p3f4.mini", "+".join(parts)):
        accuracies = 0.73 + 0.02 * chance.random(), 0.44 + 0.03 * chance.random()
        made_up.measure(tmp_path, name, *accuracies, trained="+" not in name)
    found = figure1(reproduce("fig1", tag="mini", runs=tmp_path))
    texts = [mark.text for mark in found.marks if isinstance(mark, scene.Text)]
    for label in ("Selfie", "AT from scratch"):
        assert (texts.count(label), texts.count(f"{label}, ours")) == (1, 1)
    hollow = [mark for mark in found.marks if isinstance(mark, scene.Circle) and mark.style.fill == "paper"]
    assert len(hollow) == 6
    assert scene.to_png(found).startswith(b"\x89PNG")


def test_figure_1_can_do_without_ours(tmp_path):
    found = figure1(reproduce("fig1", tag="mini", runs=tmp_path))
    assert not any("ours" in mark.text for mark in found.marks if isinstance(mark, scene.Text))
