"""Which measurement stands for a checkpoint, and where it is found."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from reproduction import made_up

from advss_zoo import resources
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.statistics import Estimate
from advss_zoo.reproduction.ours import Checkup, OurResults, members
from advss_zoo.zoo import index

NAME = "p1f4.mini"
ENSEMBLE = "ensemble-p3f4.mini"
PARTS = [f"{task}-p3f4.mini" for task in ("selfie", "rotation", "jigsaw")]


@pytest.fixture
def card(monkeypatch):
    """Put a card with one result into the zoo."""

    def card(name, ta, ra, picked="average", **training):
        found = made_up.result(name, made_up.verdicts(ta, ra, 10_000), sha256=made_up.sha256_of(name, picked))
        entry = SimpleNamespace(
            full_name=name,
            sha256=made_up.sha256_of(name, picked),
            stored="bundled",
            training={"picked": picked, "epochs": 32.0, "recipe_sha256": made_up.recipe_of(name).sha256} | training,
            results=[found.to_dict()],
        )
        monkeypatch.setattr(index, "entries", lambda: (entry,))

    return card


def test_names():
    assert members(NAME) == []
    assert members(ENSEMBLE) == PARTS
    assert members("ensemble-selfie-rotation-p3f4.r50") == ["rotation-p3f4.r50", "selfie-p3f4.r50"]


def test_nothing_is_nothing(ours):
    assert ours().of(NAME) is None
    assert not ours().is_complete(NAME)


def test_a_card_comes_before_a_run(card, measure, ours):
    card(NAME, 0.7, 0.4)
    measure(NAME, 0.6, 0.3)
    (found,) = ours().measurements(NAME)
    assert (found.result.ta, found.epochs, found.pick) == (0.7, 32.0, None)


def test_other_weights_do_not_count_beside_a_card(card, measure, ours):
    card(NAME, 0.7, 0.4)
    measure(NAME, 0.6, 0.3, picked="unheard-of", trained=False)
    assert [found.result.ta for found in ours().measurements(NAME)] == [0.7]


@pytest.mark.parametrize("known", ["by a card", "by a run"])
def test_weights_of_an_earlier_training_do_not_count(known, card, measure, ours, runs):
    measure(NAME, 0.7, 0.4, picked="earlier", trained=False)
    if known == "by a card":
        card(NAME, 0.7, 0.4)
    else:
        made_up.train(runs, NAME, "average", 16.0)
    assert [found.picked for found in ours().measurements(NAME)] == (["average"] if known == "by a card" else [])
    assert ours().is_complete(NAME) == (known == "by a card")


def test_a_run_that_was_made_again_has_to_be_measured_again(measure, ours, runs):
    measure(NAME, 0.7, 0.4)
    made_up.retrain(runs, NAME)
    assert ours().of(NAME) is None
    assert not ours().is_complete(NAME)


def test_picks_of_a_run_that_is_not_the_zoos_are_not_the_checkpoints(card, measure, ours, runs):
    card(NAME, 0.7, 0.4)
    measure(NAME, 0.8, 0.3, picked="best-ta")
    assert [found.pick for found in ours().measurements(NAME)] == [None]
    made_up.train(runs, NAME, "average", 16.0)
    assert [found.pick for found in ours().measurements(NAME)] == [None, "best-ta"]


def test_what_stands_for_a_checkpoint_is_what_it_ships(measure, ours, runs):
    made_up.train(runs, NAME, "average", 16.0)
    measure(NAME, 0.8, 0.3, picked="best-ta")
    assert [found.pick for found in ours().measurements(NAME)] == ["best-ta"]
    assert ours().of(NAME) is None


def test_picks_are_missing_until_they_are_measured_on_all_images(measure, ours, runs):
    for picked in ("best-ta", "best-ra", "average"):
        made_up.train(runs, NAME, picked, 16.0)
    assert ours().unmeasured_picks(NAME) == [], "the run goes on"
    made_up.train(runs, NAME, "last", 16.0)
    assert sorted(ours().unmeasured_picks(NAME)) == ["best-ra", "best-ta"]
    measure(NAME, 0.7, 0.4, n=1_000, picked="best-ta")
    measure(NAME, 0.7, 0.4, picked="best-ra")
    assert ours().unmeasured_picks(NAME) == ["best-ta"]
    config = runs / NAME / "best-ta" / "config.json"
    for same in ("best-ra", "average"):  # which is measured, or missing anyway
        made_up.train(runs, NAME, "best-ta", 16.0)
        config.write_text(config.read_text().replace(made_up.sha256_of(NAME, "best-ta"), made_up.sha256_of(NAME, same)))
        assert ours().unmeasured_picks(NAME) == []


def test_one_epoch_may_be_the_best_in_both(measure, ours, runs):
    for picked in ("best-ta", "best-ra"):
        made_up.train(runs, NAME, picked, 16.0)
    config = runs / NAME / "best-ra" / "config.json"
    config.write_text(
        config.read_text().replace(made_up.sha256_of(NAME, "best-ra"), made_up.sha256_of(NAME, "best-ta"))
    )
    measure(NAME, 0.7, 0.4, picked="best-ta", trained=False)
    assert [found.pick for found in ours().measurements(NAME)] == ["best-ra and best-ta"]


def test_without_a_card_results_of_evaluations_count(measure, ours):
    measure(NAME, 0.7, 0.4, epochs=12.0)
    measure(NAME, 0.9, 0.9, label="pgd20 (l2, eps 0.5)", picked="last")
    measure(NAME, 0.9, 0.9, data="cifar100", picked="best-ta")
    (found,) = ours().measurements(NAME)
    assert (found.result.ra, found.epochs, found.pick) == (0.4, 12.0, None)
    assert ours().is_complete(NAME)


def test_every_pick_is_there_once_the_shipped_first(measure, ours):
    measure(NAME, 0.80, 0.30, picked="best-ta", epochs=8.0)
    measure(NAME, 0.70, 0.40, picked="average")
    measure(NAME, 0.65, 0.45, picked="best-ra", epochs=14.0)
    measure(NAME, 0.60, 0.50, picked="best-ra", epochs=14.0, n=1_000)
    found = ours().measurements(NAME)
    assert [(m.pick, m.epochs, m.result.ra) for m in found] == [
        (None, 16.0, 0.40),
        ("best-ra", 14.0, 0.45),
        ("best-ta", 8.0, 0.30),
    ]


def test_weights_that_two_picks_share_are_the_shipped_ones(measure, ours, runs):
    measure(NAME, 0.7, 0.4)
    for picked in ("best-ra", "last"):
        made_up.train(runs, NAME, picked, 16.0)
        config = runs / NAME / picked / "config.json"
        config.write_text(
            config.read_text().replace(made_up.sha256_of(NAME, picked), made_up.sha256_of(NAME, "average"))
        )
    assert ours().of(NAME).pick is None


def test_fewer_images_are_shown_but_do_not_complete(measure, ours):
    measure(NAME, 0.7, 0.4, n=1_000, data="cifar10-1k")
    found = ours().of(NAME)
    assert found is not None
    assert found.result.n == 1_000
    assert not ours().is_complete(NAME)


def test_another_pick_does_not_complete(measure, ours):
    measure(NAME, 0.7, 0.4, picked="best-ra")
    assert not ours().is_complete(NAME)


def test_weights_of_unknown_origin_say_so(measure, ours):
    measure(NAME, 0.7, 0.4, trained=False)
    (found,) = ours().measurements(NAME)
    assert (found.pick, found.epochs) == ("origin unknown", None)
    assert found.changes[0].startswith("nothing here says how the weights ")
    assert ours().of(NAME) is None


def test_what_another_recipe_made_is_shown_with_what_differs_and_stands_for_nothing(measure, ours, runs):
    measure(NAME, 0.7, 0.4)
    made_up.train(runs, NAME, "average", 16.0, seed=21, precision="fp32")
    (found,) = ours().measurements(NAME)
    assert found.changes == (f"{NAME}: precision=fp32 (recipe: bf16)", f"{NAME}: seed=21 (recipe: 20)")
    assert ours().of(NAME) is None
    assert not ours().is_complete(NAME)
    assert ours().weights(NAME) == frozenset()


def test_what_another_recipe_of_a_parent_made_stands_for_nothing(measure, ours, runs):
    child = PARTS[0]
    measure(child, 0.7, 0.4)
    assert ours().of(child).result.ta == 0.7
    made_up.train(runs, "selfie-p3.mini", "last", 8.0, seed=21)
    (found,) = ours().measurements(child)
    assert found.changes == ("selfie-p3.mini: seed=21 (recipe: 20)",)
    made_up.retrain(runs, "selfie-p3.mini", "last")
    (found,) = ours().measurements(child)
    assert found.changes[0].startswith("nothing here says how the weights ")


def test_of_another_recipe_that_is_not_here_the_sha256_is_said(card, ours):
    card(NAME, 0.7, 0.4, recipe_sha256="1234567890")
    (found,) = ours().measurements(NAME)
    assert found.changes[0].startswith(f"{NAME}: another recipe (12345678, now ")
    assert ours().entry(NAME) is None


def test_the_profile_is_a_part_of_the_recipe(measure, ours, runs):
    measure("p1f4.r50", 0.7, 0.4)
    assert ours().of("p1f4.r50") is not None
    (found,) = OurResults(runs, "paper").measurements("p1f4.r50")
    assert "p1f4.r50: profile=fast (recipe: paper)" in found.changes


def test_a_run_of_the_zoos_recipe_stands_for_it_where_the_zoos_does_not(card, measure, ours):
    card(NAME, 0.7, 0.4, picked="best-ta", recipe_sha256="1234567890")
    measure(NAME, 0.6, 0.3)
    assert ours().of(NAME).result.ta == 0.6


def test_the_course_of_training_is_on_the_card_or_in_the_log(card, measure, ours, runs):
    assert ours().curve(NAME) == []
    measure(NAME, 0.7, 0.4)
    assert ours().curve(NAME) == []
    (runs / NAME / "log.jsonl").write_text('{"step": 1, "epoch": 2, "validation": {"ta": 0.5, "ra": 0.25}}\n')
    assert ours().curve(NAME) == [Checkup(2, 0.5, 0.25)]
    card(NAME, 0.7, 0.4, curve=[{"epoch": 4, "ta": 0.6, "ra": 0.3}])
    assert ours().curve(NAME) == [Checkup(4, 0.6, 0.3)]


def test_an_ensemble_is_its_members_in_any_order(measure, ours):
    for part in PARTS:
        measure(part, 0.7, 0.4, epochs=10.0)
    measure("+".join(reversed(PARTS)), 0.72, 0.43, trained=False)
    measure("+".join(PARTS[:2]), 0.6, 0.3, trained=False)
    found = ours().of(ENSEMBLE)
    assert found is not None
    assert (found.result.ra, found.epochs, found.pick) == (0.43, 30.0, None)
    assert ours().of("ensemble-selfie-rotation-p3f4.mini").result.ra == 0.3
    assert ours().of("ensemble-rotation-jigsaw-p3f4.mini") is None


def test_an_ensemble_that_is_a_checkpoint_goes_by_its_name(measure, ours, runs):
    measure(ENSEMBLE, 0.72, 0.43, trained=False)
    assert [found.pick for found in ours().measurements(ENSEMBLE)] == ["origin unknown"]
    assert ours().of(ENSEMBLE) is None
    for part in PARTS:
        made_up.train(runs, part, "average", 16.0)
    assert (ours().of(ENSEMBLE).result.ra, ours().of(ENSEMBLE).pick) == (0.43, None)
    assert ours().is_complete(ENSEMBLE)


@pytest.mark.parametrize("name", [ENSEMBLE, "+".join(PARTS)])
def test_an_ensemble_is_what_its_members_are_now(name, measure, ours, runs):
    for part in PARTS:
        measure(part, 0.7, 0.4, epochs=10.0)
    made_up.assemble(runs, ENSEMBLE)
    measure(name, 0.72, 0.43, trained=False)
    assert ours().is_complete(ENSEMBLE)
    made_up.retrain(runs, PARTS[1])
    assert ours().of(ENSEMBLE) is None
    assert not ours().is_complete(ENSEMBLE)


def test_the_epochs_of_an_ensemble_need_all_members(measure, ours):
    measure(PARTS[0], 0.7, 0.4)
    measure("+".join(PARTS), 0.72, 0.43, trained=False)
    (found,) = ours().measurements(ENSEMBLE)
    assert (found.epochs, found.changes) == (
        None,
        (f"its members are not the weights that {ENSEMBLE} is made of",),
    )


def test_an_ensemble_is_found_by_its_weights_whatever_it_was_called(measure, ours, runs):
    for part in PARTS[:2]:
        measure(part, 0.7, 0.4)
    folder = measure("+".join(PARTS[:2]), 0.72, 0.43, trained=False)
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace("+".join(PARTS[:2]), "of my own"))
    assert ours().of("ensemble-selfie-rotation-p3f4.mini").result.ra == 0.43


def test_who_fools_whom(transfer, ours):
    assert ours().transfer(*PARTS) is ours().transferred(*PARTS[:2]) is ours().shared(PARTS[0], PARTS[1:], ()) is None
    transfer()
    found = ours()
    rates = [[found.transferred(source, target).value for target in PARTS] for source in PARTS]
    assert rates == [[0.5, 0.4, 0.35], [0.35, 0.52, 0.36], [0.37, 0.33, 0.54]]
    selfie, rotation, jigsaw = PARTS
    shares = [((rotation, jigsaw), ()), ((rotation,), (jigsaw,)), ((jigsaw,), (rotation,))]
    assert [found.shared(selfie, *who).value for who in shares] == [30 / 45, 10 / 45, 5 / 45]
    assert found.shared(selfie, (jigsaw, rotation), ()) == Estimate.of(30 / 45, 45)
    assert found.transferred(selfie, rotation) == Estimate.of(0.4, 100)
    assert found.transferred(selfie, NAME) is found.shared(selfie, (rotation,), (NAME,)) is None


def test_weights_that_ship_come_before_others_and_many_images_before_few(transfer, ours, runs):
    transfer(weights="best-ra", n=10_000, trained=False)
    assert (ours().transfer(*PARTS).result.n, ours().transfer(*PARTS).pick) == (10_000, "origin unknown")
    assert not ours().is_complete(ENSEMBLE, "transfer")
    for part in PARTS:
        made_up.train(runs, part, "average", 16.0)
    assert ours().transfer(*PARTS) is None
    assert not ours().is_complete(ENSEMBLE, "transfer")
    transfer()
    assert (ours().transfer(*PARTS).result.n, ours().transfer(*PARTS).pick) == (100, None)
    transfer(n=200)
    assert (ours().transfer(*PARTS).result.n, ours().transferred(*PARTS[:2]).value) == (200, 0.2)
    assert not ours().is_complete(ENSEMBLE, "transfer")
    transfer(n=10_000, data="cifar100")
    assert not ours().is_complete(ENSEMBLE, "transfer")
    transfer(n=10_000)
    assert ours().is_complete(ENSEMBLE, "transfer")
    assert not ours().is_complete(ENSEMBLE), "that is another measurement"


def test_who_fools_whom_on_a_card(transfer, ours, monkeypatch):
    folder = transfer(n=200)
    document = Result.read(folder / "result.json").to_dict()
    shutil.rmtree(folder)
    transfer(sources=(NAME, PARTS[0]), wrong=dict.fromkeys((NAME, PARTS[0]), (range(9), range(8), range(7))))
    entries = [
        SimpleNamespace(
            full_name=part, sha256=made_up.sha256_of(part, "average"), stored="bundled", results=[], training={}
        )
        for part in PARTS
    ]
    ensemble = SimpleNamespace(full_name=ENSEMBLE, sha256="", stored="bundled", results=[document], training={})
    monkeypatch.setattr(index, "entries", lambda: (*entries, ensemble))
    assert (ours().transfer(*PARTS).result.n, ours().transfer(*PARTS).pick) == (200, None)
    assert (ours().transfer(NAME).result.n, ours().transfer(NAME).pick) == (100, None)


def test_what_cannot_be_read_is_left_out_and_named(measure, ours, runs):
    measure(NAME, 0.7, 0.4)
    (runs / "eval" / "broken").mkdir()
    (runs / "eval" / "broken" / "result.json").write_text('{"schema": 99}')
    (runs / NAME / "another").mkdir()
    (runs / NAME / "another" / "config.json").write_text("{}")
    found = ours()
    assert found.of(NAME).result.ta == 0.7
    assert [sum(what in reason for reason in found.unreadable) for what in ("broken", "another")] == [1, 1]


def test_verdicts_count_only_if_they_are_those_of_the_result(measure, ours):
    folder = measure(NAME, 0.7, 0.4)
    assert ours().of(NAME).verdicts().ra_hits == 4_000
    made_up.verdicts(0.7, 0.5, 10_000).write(folder / "verdicts.npz")
    assert ours().of(NAME).verdicts() is None
    (folder / "verdicts.npz").unlink()
    assert ours().of(NAME).verdicts() is None


def test_the_verdicts_behind_the_cards_of_this_zoo_are_found(monkeypatch, ours):
    monkeypatch.undo()
    checked = [entry.full_name for entry in index.entries() if entry.ra is not None]
    assert checked
    for name in checked:
        found = ours().of(name)
        if found.folder.exists():
            assert found.verdicts().scores()["ra"] == found.result.ra
        else:
            assert not (resources.CHECKOUT / "weights").exists()
