"""Every card says what a person needs to know, and what it tells people to type is understood."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from advss_zoo import resources
from advss_zoo.cli.app import app
from advss_zoo.files import read_json
from advss_zoo.zoo import cards, index, sources

ENTRIES = index.entries()
HERE = [entry for entry in ENTRIES if entry.stored == "bundled" or (resources.CHECKOUT / "weights").is_dir()]
COMMANDS = typer.main.get_command(app).commands


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
