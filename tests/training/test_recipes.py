"""Every shipped recipe runs: two steps of two images, from its parent recipe's own two steps."""

from __future__ import annotations

import re

import numpy as np
import pytest

from advss_zoo import resources
from advss_zoo.data import catalogue
from advss_zoo.data.imageset import ImageSet
from advss_zoo.files import read_json
from advss_zoo.reproduction import paper
from advss_zoo.training import curves, examples, log, recipe, trainer
from advss_zoo.zoo import checkpoint, index

TRAINED, HELD_OUT = 4, 2
QUICK = ["epochs=1", "batch_size=2", "validation.images=2", "validation.attack.steps=1", "validation.every=1"]
TRAINED_ONES = [name for name in recipe.names() if not name.startswith("ensemble-")]
SMALL = [(name, "fast") for name in TRAINED_ONES if name.endswith((".mini", ".small"))]
LARGE = [(name, profile) for name in TRAINED_ONES if name.endswith(".r50") for profile in ("fast", "paper")]
NARROW = ["architecture.width=2"]  # quick enough for every day
# One of each kind of the large recipes.
KINDS = ["selfie-p3f2.r50", "jigsaw-p2f4.r50", "rotation-rs.r50", "apdpe-p3.r50", "oneshot-f4.r50"]
# Table 3: two from scratch, and 2 + 4 scenarios on 3 tasks each. Tables 5, 7, 8: 2, 6 and 6.
FINE_TUNED, PRETRAINED = 2 + 18 + 2 + 6 + 6, 9 + 2 + 3


def made_up(name, split, image_size, **_):
    """Images for the recipe's data set, of the size it has."""
    dataset = catalogue.find(name)
    assert image_size == (224 if isinstance(dataset, catalogue.GroupedImageNet) else 32)
    count = TRAINED + HELD_OUT
    images = np.random.default_rng(0).integers(0, 256, (count, 3, image_size, image_size), dtype=np.uint8)
    labels = np.arange(count) % len(dataset.classes)
    return ImageSet(name, split, images, labels, np.arange(count), dataset.classes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Make a recipe's checkpoint, its parent's before it, once."""
    folder = tmp_path_factory.mktemp("runs")
    done = {}

    def make(name, profile, options=()):
        key = (name, profile, *options)
        if key not in done:
            picked = [f"profile={profile}"] if name.endswith(".r50") else []
            loaded = recipe.load(name, [*QUICK, *picked, *options])
            if loaded.parent is not None:
                make(loaded.parent, profile, options)
            done[key] = trainer.train(loaded, folder / "-".join([profile, *options]) / name)
        return done[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LOG_EVERY", 1)
        patch.setattr(curves, "draw", lambda records, path: None)
        patch.setattr(examples.data, "load_data", made_up)
        patch.setattr(examples, "train_and_validation", lambda _: np.split(np.arange(TRAINED + HELD_OUT), [TRAINED]))
        yield make


def check(folder, name):
    model, config = checkpoint.load(folder)
    resolved = recipe.load(folder / "recipe.yaml")
    assert config.full_name == name
    assert (config.kind == "trunk") == (resolved.scenario in ("p2", "p3", "rs"))
    losses = [record["loss"] for record in log.read(folder.parent / "log.jsonl") if "loss" in record]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert config.provenance.parent == resolved.parent
    if resolved.parent:
        assert (folder.parent / "parent.json").exists()
    return model


@pytest.mark.parametrize(
    ("name", "profile"), [*SMALL, *((name, profile) for name in KINDS for profile in ("fast", "paper"))]
)
def test_two_steps_of_a_narrow_net(run, name, profile):
    check(run(name, profile, NARROW), name)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "profile"), [*SMALL, *LARGE])
def test_two_steps_of_a_net_as_wide_as_it_says(run, name, profile):
    check(run(name, profile), name)


def test_there_is_one_for_every_checkpoint_of_tables_3_to_8():
    loaded = [recipe.load(name) for name in TRAINED_ONES if name.endswith(".r50")]
    of_the_tables = [r for r in loaded if not re.search("oneshot|cifar100|rimagenet|-l0", r.name)]
    assert sum(r.parent is not None or r.scenario.startswith("p1") for r in of_the_tables) == FINE_TUNED
    assert sum(r.scenario in ("p2", "p3", "rs") for r in of_the_tables) == PRETRAINED


def test_the_small_nets_fill_tables_3_5_7_8_and_figure_3():
    tasks, scenarios = (
        ("selfie", "rotation", "jigsaw"),
        ("p2f3", "p2f4", "p3f1", "p3f2", "p3f3", "p3f4", "rsf2", "rsf4"),
    )
    wanted = {f"{task}-{scenario}.mini" for task in tasks for scenario in scenarios}
    wanted |= {f"selfie-{count}-{scenario}.mini" for count in ("5k", "15k") for scenario in ("p3f2", "p3f4")}
    others = {"p1f3.mini", "p1f4.mini", "oneshot-f4.mini", "apse-p3f4.mini", "apdpe-p3f4.mini"}
    assert wanted | others <= set(recipe.names())


def test_the_small_zoo_has_three_tasks_their_ensemble_and_the_control():
    made = [name for name in recipe.names() if name.endswith(".small")]
    of_tasks = [f"{task}-{scenario}.small" for task in ("jigsaw", "rotation", "selfie") for scenario in ("p3", "p3f4")]
    assert made == sorted(["ensemble-p3f4.small", "p1f4.small", *of_tasks])
    assert recipe.load_any("ensemble-p3f4.small").members == [
        f"{t}-p3f4.small" for t in ("selfie", "rotation", "jigsaw")
    ]


@pytest.mark.parametrize("tag", ["mini", "r50"])
def test_there_are_three_pairs_and_a_triple(tag):
    assert {f"{ensemble}.{tag}" for ensemble in paper.ensembles()} <= set(recipe.names())
    assert sorted(map(len, paper.ensembles().values())) == [2, 2, 2, 3]


PIECES = ("selfie", "jigsaw")  # tasks that ask where a part of the image lay


@pytest.mark.parametrize("name", TRAINED_ONES)
def test_no_black_border_betrays_where_a_piece_lay(name):
    """The authors' crop moves black pixels into the image; their profile keeps it, ours does not."""
    made = recipe.load(name)
    tasks = {task.name for task in getattr(made.objective, "tasks", [made.objective])}
    assert made.profile == "fast"
    assert made.augmentation.crop_padding == 0 or tasks.isdisjoint(PIECES)


@pytest.mark.parametrize("name", recipe.names())
def test_each_opens_with_its_evidence_or_says_that_there_is_none(name):
    text = (resources.folder("recipes") / f"{name}.yaml").read_text()
    opening = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines())
    assert opening.startswith(f"{name}: ")
    in_the_zoo = name in {entry.full_name for entry in index.entries()}
    assert ("Evidence" in opening, "Not yet run" in opening) == (in_the_zoo, not in_the_zoo)


def test_fine_tuning_differs_from_its_control_in_the_trunk_alone():
    """A P3F4 recipe and P1F4 have the same everything, so that the difference in RA is the pretraining's."""
    for task in ("selfie", "rotation", "jigsaw"):
        for tag in ("mini", "small"):
            compare(recipe.load(f"{task}-p3f4.{tag}"), recipe.load(f"p1f4.{tag}"))
        for options in ([], ["profile=paper"]):
            compare(recipe.load(f"{task}-p3f4.r50", options), recipe.load("p1f4.r50", options))
    for entry in index.entries():
        control = read_json(resources.folder("cards") / f"{entry.full_name}.json")["control"]
        if control:
            compare(recipe.load(entry.full_name), recipe.load(control["name"]))


def compare(tuned, control):
    ours, its = tuned.model_dump(), control.model_dump()
    differing = {key for key in its if its[key] != ours[key]} - {"validation"}
    assert differing == {"name", "task", "scenario", "parent"}
