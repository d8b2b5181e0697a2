"""Every card says what a person needs to know, and what it tells people to type is understood."""

from __future__ import annotations

import html
import re
import shlex

import numpy as np
import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from advss_zoo import resources
from advss_zoo.cli.app import app
from advss_zoo.evaluation.confusion import Confusion
from advss_zoo.files import read_json
from advss_zoo.zoo import cards, index, sources

ENTRIES = index.entries()
HERE = [entry for entry in ENTRIES if entry.stored == "bundled" or (resources.CHECKOUT / "weights").is_dir()]
COMMANDS = typer.main.get_command(app).commands
MARKDOWN = MarkdownIt("commonmark").enable("table")
ODD = ["a|b", "`code`", "<b>bold</b>", "two\nlines", "*star* _line_ traffic_light", "salt &amp; $pepper$ [x](y) \\"]


def values(entry):
    return read_json(resources.folder("cards") / f"{entry.full_name}.json")


def blocks(card, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)


def understood(line):
    program, name, *arguments = shlex.split(line)
    assert program == "advss"
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_a_card_says_all_of_it(entry):
    card = index.card(entry.full_name)
    results = [] if entry.kind == "trunk" else ["Results"]
    sections = ["Use", *results, "Training", "Limits and misuse", "Licence", "Citation"]
    assert re.findall("^## (.*)$", card, re.MULTILINE) == sections
    for line in "".join(blocks(card, "bash")).splitlines():
        understood(line)
    ways = "\n".join(blocks(card, "bash") + blocks(card, "python"))
    for code in blocks(card, "python"):
        compile(code, entry.full_name, "exec")
    assert f'weights="{entry.tag}"' in ways
    assert f'"{entry.name.replace("-", "_")}"' in ways
    assert entry.full_name in ways
    assert ("advss export" in ways) == (entry.kind != "trunk")
    assert entry.sha256 in card
    if entry.paper and entry.kind != "trunk":
        assert f"| {entry.paper['ta']:.2f} | {entry.paper['ra']:.2f} |" in card
    for result in entry.results:
        low, high = (f"{100 * bound:.2f}" for bound in result["ta_ci95"])
        assert f"{100 * result['ta']:.2f} ({low} to {high})" in card


@pytest.mark.parametrize("entry", HERE, ids=lambda entry: entry.full_name)
def test_the_same_card_lies_with_the_weights(entry):
    assert (sources.SOURCES[entry.stored](entry) / "README.md").read_text() == index.card(entry.full_name)


@pytest.mark.parametrize("entry", [ENTRIES[0], ENTRIES[-1]], ids=lambda entry: entry.full_name)
def test_what_is_not_the_zoos_is_used_by_its_address(entry):
    card = cards.render(values(entry) | {"address": "hf://me/mine", "licence": "other"})
    for line in "".join(blocks(card, "bash")).splitlines():
        understood(line)
    assert "advss_zoo.load_" in card
    assert '("hf://me/mine")' in card
    assert "torch.hub" not in card
    assert "advss verify" not in card
    assert "None has been named" in card


def test_the_constants_of_a_suite_are_those_of_its_attacks():
    attacks = [{"name": "apgd-ce", "n_iter": 100, "loss": "ce"}, {"name": "square", "n_queries": 5000}]
    protocol = {"name": "autoattack", "label": "autoattack", "norm": "linf", "eps": 8 / 255, "attacks": attacks}
    expected = "norm linf, eps 8/255, attacks apgd-ce (n iter 100, loss ce), square (n queries 5000)"
    assert cards.constants(protocol) == expected
    assert cards.constants({"start": {"kind": "noise", "size": 1}}) == "start (kind noise, size 1)"


# --- what fine-tuning made --------------------------------------------------------------------------------------------


TRAINING = {
    "data": "photos", "parent": "rotation-p3.mini", "minutes": 1, "picked_after": 1, "validations": 1, "stopped": None,
}  # fmt: skip
DATA = {"parts": {"train": 8, "val": 2, "test": 6}, "skipped": {}, "left_out": {}, "notes": []}


def finetuned(classes, **values):
    """The card of a classifier of these classes, whose every image was taken for the class after its own."""
    numbers = np.arange(len(classes))
    facts = {
        "name": "photos-rotation-p3f4", "tag": "mini", "kind": "classifier", "task": "rotation", "scenario": "p3f4",
        "licence": "other", "members": [], "called": "photos-rotation-p3f4.mini", "temperature": 1.0, "mode": "F4",
        "classes": classes, "whole": True, "adversarial": True, "norm": "linf", "eps": "8/255", "side": 32,
        "recipe": {
            "epochs": 1, "length": 1, "shortened": [], "batch_size": 8, "head_first": 0, "validation": {"patience": 4},
            "objective": {"name": "classification", "class_weights": ()}, "adversary": [{"name": "pgd", "passes": 2}],
        },
        "training": TRAINING, "data": DATA,
        "results": index.find("p1f4").results[:1], "matrix": True, "shown": 15, "rare": classes,
        "by_class": [{"label": label, "images": 1, "ta": 0.0, "ra": None} for label in classes],
        "confusions": {"clean": Confusion.of(classes, numbers, (numbers + 1) % len(classes))},
    }  # fmt: skip
    return cards.render(facts | values, "finetuned.md.j2")


def tables(card):
    """The cells of each table as a browser shows them, row by row."""
    for table in re.findall("<table>.*?</table>", MARKDOWN.render(card), re.DOTALL):
        rows = re.findall("<tr>(.*?)</tr>", table, re.DOTALL)
        yield [[html.unescape(cell) for cell in re.findall("<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.parametrize("matrix", [True, False])
def test_a_card_shows_classes_as_they_are_called(matrix):
    card = finetuned(ODD, matrix=matrix, data=DATA | {"notes": [f"There is no image of {ODD[2]} to judge by."]})
    shown = [label.replace("\n", " ") for label in ODD]
    _, by_class, confusion = tables(card)
    assert [row[:2] for row in by_class[1:]] == [[label, "1"] for label in shown]
    if matrix:
        assert confusion[0] == ["", *shown]
        assert [row[0] for row in confusion[1:]] == shown
        assert all(len(row) == 1 + len(ODD) for row in confusion)
    else:
        assert confusion[1:] == [[one, other, "1"] for one, other in zip(shown, [*shown[1:], shown[0]], strict=True)]
    paragraphs = html.unescape(MARKDOWN.render(card))
    assert f"in the order {', '.join(shown)}. The normalisation" in paragraphs
    assert f"Of {', '.join(shown)} there were fewer" in paragraphs
    assert f"no image of {shown[2]} to judge" in paragraphs
    assert "traffic_light" in card, "what needs no escape has none"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=12))
def test_markdown_shows_a_name_as_it_is(name):
    (((heading,),),) = tables(f"| {cards.markdown(name)} |\n|---|\n")
    assert heading == name
    assert html.unescape(MARKDOWN.render(f"of {cards.markdown(name)}.")) == f"<p>of {name}.</p>\n"


def test_no_more_is_claimed_of_the_images_than_this_fine_tuning_knows():
    claim = "In this fine-tuning none of these images was trained on, nor had a part in a choice"
    assert f"{claim}; what it started from may have seen some, if that was made of the same folder." in finetuned(["a"])
    assert f"{claim}.\n" in finetuned(["a"], training=TRAINING | {"parent": None})
