"""What is missing comes in the order in which it can be made, each step once, with what to type."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from reproduction import made_up

from advss_zoo import resources
from advss_zoo.errors import UsageError
from advss_zoo.reproduction import plan
from advss_zoo.reproduction.ours import OurResults
from advss_zoo.zoo import index

ENSEMBLE = "ensemble-selfie-rotation-p3f4.mini"
PARENTS = {
    "p1f4": None,
    "selfie-p3": None,
    "selfie-p3f4": "selfie-p3.mini",
    "rotation-p3f4": "selfie-p3.mini",
    "jigsaw-p3f4": "lost.mini",
}


@pytest.fixture(autouse=True)
def _recipes(tmp_path, monkeypatch):
    """A checkout whose recipes are few."""
    folder = tmp_path / "checkout" / "recipes"
    folder.mkdir(parents=True)
    for name, parent in PARENTS.items():
        text = made_up.RECIPE.replace("parent: null", f"parent: {parent or 'null'}").replace("p1f4", name)
        (folder / f"{name}.mini.yaml").write_text(text)
    members = "members: [selfie-p3f4.mini, rotation-p3f4.mini]"
    (folder / f"{ENSEMBLE}.yaml").write_text(f"name: {ENSEMBLE[:-5]}\ntag: mini\nscenario: p3f4\n{members}\n")
    monkeypatch.setattr(resources, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def steps():
    return lambda *names: plan.steps(names, OurResults(Path("runs")))


def _commands(steps):
    return [step.command for step in steps]


def test_parents_come_first(steps):
    found = steps("selfie-p3f4.mini", "p1f4.mini", "selfie-p3f4.mini")
    assert [(step.name, step.action) for step in found] == [
        ("selfie-p3.mini", "train"),
        ("selfie-p3f4.mini", "train"),
        ("selfie-p3f4.mini", "evaluate"),
        ("p1f4.mini", "train"),
        ("p1f4.mini", "evaluate"),
    ]
    assert _commands(found)[:3] == [
        "advss train selfie-p3.mini",
        "advss train selfie-p3f4.mini",
        "advss eval runs/selfie-p3f4.mini/average --data cifar10",
    ]


def test_members_come_before_their_ensemble(steps):
    assert _commands(steps(ENSEMBLE)) == [
        "advss train selfie-p3.mini",
        "advss train selfie-p3f4.mini",
        "advss train rotation-p3f4.mini",
        f"advss train {ENSEMBLE}",
        f"advss eval runs/{ENSEMBLE}/ensemble --data cifar10",
    ]


def test_without_a_recipe_there_is_no_command(steps):
    assert [(step.name, step.action, step.command) for step in steps("rotation-p2f4.mini", "jigsaw-p3f4.mini")] == [
        ("rotation-p2f4.mini", "train", None),
        ("lost.mini", "train", None),
        ("jigsaw-p3f4.mini", "train", None),
    ]


def test_what_a_recipe_makes_is_timed(steps):
    found = steps("p1f4.mini", "rotation-p2f4.mini")
    assert [plan.seconds(step, "cpu") for step in found] == [60.0, 21, None]


def test_an_evaluation_takes_the_passes_of_its_protocols_with_each_member(steps):
    *_, assembly, evaluation = steps(ENSEMBLE)
    assert (plan.seconds(assembly, "cpu"), plan.seconds(evaluation, "cpu")) == (None, 2 * 21)
    *_, evaluation = plan.steps(["p1f4.mini"], OurResults(Path("runs")), "unforeseen")
    assert (evaluation.protocol, plan.seconds(evaluation, "cpu")) == ("unforeseen", 60 * 201)
    assert evaluation.command == "advss eval runs/p1f4.mini/average --attack unforeseen --data cifar10-1k"


def test_what_is_finished_is_not_made_again(steps, runs):
    made_up.train(runs, "selfie-p3.mini", "average", 8.0)
    assert _commands(steps("selfie-p3f4.mini"))[0] == "advss train selfie-p3.mini --resume"  # it lacks its last weights
    made_up.train(runs, "selfie-p3.mini", "last", 8.0)
    assert _commands(steps("selfie-p3f4.mini"))[0] == "advss train selfie-p3f4.mini"


def test_what_is_measured_on_all_images_is_not_missing(steps, measure, runs):
    made_up.train(runs, "p1f4.mini", "last", 8.0)
    measure("p1f4.mini", 0.7, 0.4, n=1_000)
    assert [step.action for step in steps("p1f4.mini")] == ["evaluate"]
    measure("p1f4.mini", 0.7, 0.4)
    assert steps("p1f4.mini") == []


def test_an_ensemble_is_made_again_when_a_member_was(steps, measure, runs):
    for name in ("selfie-p3f4.mini", "rotation-p3f4.mini"):
        measure(name, 0.7, 0.4)
        made_up.train(runs, name, "last", 8.0)
    made_up.assemble(runs, ENSEMBLE)
    assert _commands(steps(ENSEMBLE)) == [f"advss eval runs/{ENSEMBLE}/ensemble --data cifar10"]
    measure(ENSEMBLE, 0.7, 0.4, trained=False)
    assert steps(ENSEMBLE) == []
    made_up.retrain(runs, "rotation-p3f4.mini")
    assert _commands(steps(ENSEMBLE))[0] == f"advss train {ENSEMBLE}"


def test_results_of_other_weights_are_not_in_the_way(steps, measure, runs):
    made_up.train(runs, "p1f4.mini", "last", 8.0)
    folder = measure("p1f4.mini", 0.7, 0.4)
    folder.parent.rename(runs / "eval" / "p1f4.mini-cifar10")
    made_up.retrain(runs, "p1f4.mini")
    place = f"runs/eval/p1f4.mini-cifar10-{made_up.sha256_of('p1f4.mini', 'another average')[:8]}"
    assert plan.place("p1f4.mini", OurResults(Path("runs"))) == Path(place)
    assert _commands(steps("p1f4.mini")) == [f"advss eval runs/p1f4.mini/average --data cifar10 --out {place}"]


def test_what_a_run_picked_is_evaluated_beside_what_it_ships(measure, runs):
    for picked in ("best-ta", "best-ra", "average", "last"):
        made_up.train(runs, "p1f4.mini", picked, 8.0)
    found = plan.picks(["p1f4.mini", "selfie-p3f4.mini"], OurResults(Path("runs")))
    assert sorted(_commands(found)) == [
        f"advss eval runs/p1f4.mini/best-{metric} --data cifar10" for metric in ("ra", "ta")
    ]
    assert {step.pick: plan.seconds(step, "cpu") for step in found} == {"best-ta": 21, "best-ra": 21}
    measure("p1f4.mini", 0.7, 0.4, picked="best-ta")
    assert [step.pick for step in plan.picks(["p1f4.mini"], OurResults(Path("runs")))] == ["best-ra"]


def test_the_profile_of_what_is_trained(tmp_path):
    recipe = tmp_path / "checkout" / "recipes" / "p1f4.mini.yaml"
    recipe.write_text(recipe.read_text() + "profiles: {paper: {epochs: 1, deployed: best-ta}}\n")
    made = plan.steps(["p1f4.mini"], OurResults(Path("runs"), "paper"))
    assert _commands(made) == [
        "advss train p1f4.mini profile=paper",
        "advss eval runs/p1f4.mini/best-ta --data cifar10",
    ]
    assert plan.load_recipe("p1f4.mini", "paper").epochs == 1
    with pytest.raises(UsageError, match="unknown profile 'paper'"):
        plan.steps(["selfie-p3f4.mini"], OurResults(Path("runs"), "paper"))


def test_another_protocol_is_another_evaluation(steps, measure, runs):
    made_up.train(runs, "p1f4.mini", "last", 8.0)
    measure("p1f4.mini", 0.7, 0.4)
    assert _commands(plan.steps(["p1f4.mini"], OurResults(runs), "transfer")) == [
        f"advss eval {runs}/p1f4.mini/average --attack transfer --data cifar10 --out {runs}/eval/p1f4.mini-cifar10"
    ]


def test_what_the_zoo_has_is_evaluated_by_name(steps, monkeypatch):
    made = {"recipe_sha256": plan.load_recipe("p1f4.mini", "fast").sha256}
    zoo = SimpleNamespace(full_name="p1f4.mini", sha256="a", results=[], training=made, stored="bundled")
    monkeypatch.setattr(index, "entries", lambda: [zoo])
    assert _commands(steps("p1f4.mini")) == ["advss eval p1f4.mini --data cifar10"]
    made["recipe_sha256"] = "another"
    assert _commands(steps("p1f4.mini"))[0] == "advss train p1f4.mini"


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_was_made_otherwise_is_in_the_way(finished, steps, runs):
    made_up.train(runs, "p1f4.mini", "last" if finished else "best-ta", 8.0, seed=21)
    (step,) = steps("p1f4.mini")
    assert step.command is None
    assert step.obstacle == "runs/p1f4.mini was made otherwise (seed=21 (recipe: 20)): move it away"


def test_a_run_from_another_parent_is_in_the_way_too(steps, runs):
    made_up.train(runs, "selfie-p3f4.mini", "last", 8.0)
    made_up.retrain(runs, "selfie-p3.mini", "last")
    (step,) = steps("selfie-p3f4.mini")
    assert step.command is None
    assert "nothing here says how the weights" in step.obstacle


def test_another_folder_of_runs_is_named_in_every_command(tmp_path):
    elsewhere = tmp_path / "else where"
    assert _commands(plan.steps(["p1f4.mini"], OurResults(elsewhere))) == [
        f"advss train p1f4.mini --out '{elsewhere}/p1f4.mini'",
        f"advss eval '{elsewhere}/p1f4.mini/average' --data cifar10 --out '{elsewhere}/eval/p1f4.mini-cifar10'",
    ]
