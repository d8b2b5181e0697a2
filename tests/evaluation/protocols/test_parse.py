"""Protocols by name: every family that is listed, and what is no protocol."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields

import pytest

from advss_zoo.attacks.autoattack_driver import FEWEST_CLASSES, IN_HALF_PRECISION
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.protocols import Protocol, Settings, expand, parse, parse_all
from advss_zoo.registry import subclasses

FAMILIES = subclasses(sys.modules[protocols.__name__], Protocol)
EXAMPLES = [example for family in FAMILIES for example in family.examples]


def test_the_families():
    assert set(EXAMPLES) >= {"clean", "pgd20", "pgd20-any", "autoattack", "apgd-ce", "apgd-t", "fab-t", "square"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_family_is_found_under_its_name_alone(name):
    protocol = parse(name)
    assert protocol.name == protocol.label() == protocol.slug() == name
    assert sum(type(parse(name)) is family for family in FAMILIES) == 1
    constants = protocol.constants()
    assert json.loads(json.dumps(constants)) == constants
    assert (constants["name"], constants["label"]) == (name, name)
    assert constants["version"] >= 1


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pdg20", "pgd20"),
        ("PGD20", "pgd20"),
        ("pgd-20", "pgd20"),
        ("pgd20_any", "pgd20-any"),
        ("claen", "clean"),
        ("pgd0", "pgd20"),
        ("auto-attack", "autoattack"),
        ("fab", "fab-t"),
    ],
)
def test_a_slip_is_met_with_the_nearest(name, near):
    with pytest.raises(UsageError, match=rf"^Unknown protocol '{name}'. Did you mean {near}\? See `advss eval --help`"):
        parse(name)


def test_what_is_like_no_protocol_is_met_with_all_kinds():
    with pytest.raises(UsageError) as raised:
        parse("xyz")
    for name in EXAMPLES:
        assert str(raised.value).replace(".", ",").count(f" {name},") == 1, name


@pytest.mark.parametrize(
    "name", ["", "pgd", "pgd020", "pgd20-last", "pgd20\n", "clean ", "xyz", "pgd9999999", "../pgd20"]
)
def test_what_is_no_protocol_is_refused(name):
    with pytest.raises(UsageError, match="Unknown protocol"):
        parse(name)


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "l0"},
        {"eps": 0.0},
        {"eps": 2.0},
        {"eps": float("nan")},
        {"step_size": -1.0},
        {"restarts": 0},
        {"seed": -1},
        {"search": "fp8"},
    ],
)
@pytest.mark.parametrize("name", EXAMPLES)
def test_constants_that_make_no_sense_are_refused(name, settings):
    with pytest.raises(UsageError):
        parse(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("pgd20", {"norm": "l1"}, "pgd20 does not support the norm l1. Choose linf or l2, or --attack autoattack"),
        ("autoattack", {"restarts": 2}, "--restarts cannot be used with autoattack. Leave out --restarts."),
        ("square", {"step_size": 0.01, "eps": 0.1}, "--step-size cannot be used with square."),
        ("transfer", {"search": "bf16", "restarts": 2}, "--restarts and --search cannot be used with transfer."),
        ("ensemble-worst", {"search": "bf16"}, "--search cannot be used with ensemble-worst."),
        ("corruptions", {"search": "bf16"}, "--search cannot be used with corruptions. Leave out --search."),
        ("clean", {"eps": 0.1}, "--eps cannot be used with clean."),
        ("pgd20", {"step": 1}, "Unknown setting 'step' (did you mean step_size?). Choose from norm, eps, step_size"),
    ],
)
def test_what_a_protocol_does_not_know_is_refused(name, settings, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        parse(name, **settings)


def test_a_setting_is_for_the_protocols_that_take_it():
    clean, pgd, fab, corruptions = parse_all(["clean", "pgd2", "fab-t", "corruptions"], eps=0.1, restarts=2, seed=3)
    assert (clean, corruptions) == (parse("clean"), parse("corruptions", seed=3))
    assert pgd == parse("pgd2", eps=0.1, restarts=2, seed=3)
    assert fab == parse("fab-t", eps=0.1, seed=3)


def test_a_setting_that_no_protocol_takes_is_refused():
    names = ["clean", "unforeseen", "fab-t"]
    with pytest.raises(UsageError, match="--step-size cannot be used with clean or unforeseen or fab-t"):
        parse_all(names, eps=0.1, step_size=0.1)
    with pytest.raises(UsageError, match="--eps cannot be used with saved images"):
        parse_all([], eps=0.1)


def test_each_protocol_is_meant_once():
    assert [protocol.name for protocol in parse_all(["unforeseen-fog-eps2", "unforeseen-fog", "clean", "clean"])] == [
        *("unforeseen-fog-eps2", *(name for name in expand("unforeseen-fog") if name[-1] != "2"), "clean")
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_constants_of_a_result_make_its_protocol_again(name):
    """Whichever of them are settings, also those that the protocol says but does not take."""
    constants = parse(name, seed=5).constants()
    known = {field.name for field in fields(Settings)} | {"name"}
    assert parse(**{key: value for key, value in constants.items() if key in known}).constants() == constants


@pytest.mark.parametrize("name", FEWEST_CLASSES)
def test_the_attacks_that_search_in_half_precision(name):
    (family,) = (family for family in FAMILIES if name in family.examples)
    assert ("search" in family.takes) == (name in IN_HALF_PRECISION)


@pytest.mark.parametrize(
    ("name", "settings", "label"),
    [
        ("pgd20", {"eps": 8 / 255, "norm": "linf", "step_size": 2 / 255}, "pgd20"),
        ("pgd20", {"norm": "l2"}, "pgd20 (l2, eps 0.5)"),
        ("pgd20", {"eps": 4 / 255}, "pgd20 (linf, eps 4/255)"),
        ("pgd20", {"eps": 0.031}, "pgd20 (linf, eps 0.031)"),
        ("pgd50-any", {"restarts": 5}, "pgd50-any (5 restarts)"),
        ("pgd20", {"step_size": 1 / 255, "restarts": 2}, "pgd20 (step 1/255, 2 restarts)"),
        ("pgd20", {"seed": 7}, "pgd20"),
        ("autoattack", {"eps": 8 / 255}, "autoattack"),
        ("autoattack", {"norm": "l1"}, "autoattack (l1, eps 12.0)"),
        ("fab-t", {"norm": "l2", "eps": 1.0}, "fab-t (l2, eps 1.0)"),
        ("pgd20", {"restarts": 2, "search": "bf16"}, "pgd20 (2 restarts, bf16 search)"),
        ("autoattack", {"norm": "l2", "search": "bf16"}, "autoattack (l2, eps 0.5, bf16 search)"),
    ],
)
def test_labels_say_what_differs_from_the_default(name, settings, label):
    assert parse(name, **settings).label() == label


def test_different_measurements_have_different_folders():
    variants = [{}, {"norm": "l2"}, {"eps": 4 / 255}, {"step_size": 1 / 255}, {"restarts": 2}, {"seed": 1}]
    variants.append({"search": "bf16"})
    slugs = [parse(name, **variant).slug() for name in ("pgd20", "pgd20-any", "pgd2") for variant in variants]
    assert len(set(slugs)) == len(slugs)
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for slug in slugs)


def test_default_constants():
    constants = parse("pgd20").constants()
    assert (constants["norm"], constants["eps"], constants["step_size"]) == ("linf", 8 / 255, 2 / 255)
    assert (constants["steps"], constants["restarts"], constants["iterate"]) == (20, 1, "last")
    constants = parse("pgd50-any", norm="l2").constants()
    assert (constants["norm"], constants["eps"], constants["step_size"]) == ("l2", 0.5, 0.025)
    assert constants["iterate"] == "any"
