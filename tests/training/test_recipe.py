"""Recipes: the shipped ones are valid, mistakes are named all at once, nothing is guessed."""

from __future__ import annotations

import re

import pytest
import yaml

from advss_zoo import adversaries, objectives, resources
from advss_zoo.adversaries.base import Adversary
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.objectives.base import Objective
from advss_zoo.objectives.joint import DiversityOptions
from advss_zoo.registry import subclasses
from advss_zoo.training import recipe


@pytest.mark.parametrize("name", recipe.names())
def test_shipped_recipes_are_valid_and_named_after_their_file(name):
    loaded = recipe.load_any(name)
    assert loaded.full_name == name
    assert type(loaded).model_validate(loaded.model_dump(mode="json")) == loaded


def test_the_resolved_recipe_reads_back_the_same(recipe_file, tmp_path):
    first = recipe.load(recipe_file)
    again = tmp_path / "resolved.yaml"
    again.write_text(first.to_yaml())
    assert recipe.load(again) == first
    assert recipe.load(again).sha256 == first.sha256


def test_sizes_are_written_as_people_write_them(recipe_file):
    assert recipe.load(recipe_file).adversary[0].eps == 8 / 255


def test_overrides_reach_into_lists_and_change_the_hash(recipe_file):
    plain = recipe.load(recipe_file)
    changed = recipe.load(recipe_file, ["epochs=7", "adversary.1.steps=3", "optimizer.weight_decay=0"])
    assert (changed.epochs, changed.adversary[1].steps, changed.optimizer.weight_decay) == (7, 3, 0)
    assert changed.sha256 != plain.sha256
    assert recipe.load(recipe_file) == plain


def test_all_mistakes_are_named_at_once(recipe_file):
    with pytest.raises(UsageError) as caught:
        recipe.load(recipe_file, ["epochs=-1", "wdith=3", "adversary.1.eps=8/0", "objective.name=teleport"])
    for place in ("epochs", "wdith", "adversary.1", "objective.name"):
        assert place in caught.value.message


@pytest.mark.parametrize(
    "override", ["epochs", "=3", "adversary.9.steps=1", "epochs.deep=1", "epochs=[", "adversary.x=1"]
)
def test_overrides_that_fit_nowhere(recipe_file, override):
    with pytest.raises(UsageError):
        recipe.load(recipe_file, [override])


@pytest.mark.parametrize("text", ["", "- a", "name: [", "!!python/object/apply:os.system ['true']", "name: tiny"])
def test_files_that_are_no_recipes(tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        recipe.load(path)


@pytest.mark.parametrize("name", ["selfie-p3.mini", "jigsaw-p3.mini"])
def test_pieces_have_to_fit_the_image(name):
    with pytest.raises(UsageError, match="32 pixels cannot be divided into 5x5 equal pieces"):
        recipe.load(name, ["objective.grid=5"])


@pytest.mark.parametrize(
    ("phases", "mistake"),
    [
        ("[{side: 16, until: 0.5}, {side: 24}]", r"must rise to the full size, 32 pixels; found \[16, 24\]"),
        ("[{side: 24, until: 0.5}, {side: 16, until: 0.7}, {side: 32}]", r"must rise .*found \[24, 16, 32\]"),
        ("[{side: 40, until: 0.5}, {side: 32}]", r"must rise .*found \[40, 32\]"),
        ("[{side: 16, until: 0.5}, {side: 32, until: 0.8}]", r"phases must end at rising fractions, the last at 1"),
        ("[{side: 18, until: 0.5}, {side: 32}]", "18 pixels cannot be divided into 4x4 equal pieces"),
    ],
)
def test_growing_images_end_at_full_size_and_their_pieces_fit(phases, mistake):
    with pytest.raises(UsageError, match=mistake):
        recipe.load("jigsaw-p3.mini", [f"resolution={phases}"])


def test_the_side_of_the_images_at_each_moment():
    grown = recipe.load("jigsaw-p3.mini", ["resolution=[{side: 16, until: 0.25}, {side: 24, until: 0.75}, {side: 32}]"])
    assert [grown.side_at(progress) for progress in (0.0, 0.24, 0.25, 0.74, 0.75, 0.99)] == [16, 16, 24, 24, 32, 32]
    assert recipe.load("jigsaw-p3.mini").side_at(0.1) == 32


@pytest.mark.parametrize(
    "kind", [*subclasses(objectives, Objective), *subclasses(adversaries, Adversary), DiversityOptions]
)
def test_every_choice_is_in_the_documentation(kind):
    text = (resources.CHECKOUT / "docs" / "training.md").read_text()
    for key, field in kind.model_fields.items():
        assert f"`{field.default if key == 'name' else key}" in text, key


def test_unknown_names_list_the_known_ones_and_the_nearest():
    with pytest.raises(UsageError, match=r"choose from .*p1f4\.mini"):
        recipe.load("p9f9")
    with pytest.raises(UsageError, match=r"Unknown recipe 'p1f4\.mni' \(did you mean p1f4\.mini\?\)"):
        recipe.load("p1f4.mni")


def test_a_binary_file_is_a_sentence(tmp_path):
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(AdvssError):
        recipe.load(path)


def test_phases_must_rise_to_the_end(recipe_file):
    for wrong in ("adversary.1.until=0.9", "adversary.0.until=1.0"):
        with pytest.raises(UsageError, match=r"until|phases"):
            recipe.load(recipe_file, [wrong])


def test_phase_and_its_progress(recipe_file):
    loaded = recipe.load(recipe_file, ["adversary.0.until=0.4"])
    assert [loaded.phase(p)[0].name for p in (0.0, 0.39, 0.4, 0.99)] == ["n-fgsm", "n-fgsm", "pgd", "pgd"]
    assert loaded.phase(0.2)[1] == pytest.approx(0.5)
    assert loaded.phase(0.7)[1] == pytest.approx(0.5)


def test_bases_and_profiles_are_merged_key_by_key(tmp_path):
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "low.yaml").write_text(
        "{tag: t, architecture: {width: 4}, optimizer: {momentum: 0.5, weight_decay: 1}, schedule: [{peak: 1}]}"
    )
    (tmp_path / "bases" / "high.yaml").write_text(
        "{base: low, profile: fast, profiles: {fast: {epochs: 3}, paper: {epochs: 9, optimizer: {weight_decay: 3}}}}"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{base: high, name: mine, scenario: p1f3, objective: {name: classification}, adversary: [{name: none}], "
        "optimizer: {momentum: 0.7}, schedule: [{peak: 2}]}"
    )
    fast, paper = recipe.load(path), recipe.load(path, ["profile=paper"])
    assert (fast.epochs, fast.optimizer.momentum, fast.optimizer.weight_decay) == (3, 0.7, 1)
    assert (paper.epochs, paper.optimizer.momentum, paper.optimizer.weight_decay) == (9, 0.7, 3)
    assert [phase.peak for phase in fast.schedule] == [2], "lists are replaced, not merged"
    assert recipe.load(path, ["profile=paper", "epochs=1"]).epochs == 1, "what is asked for overrules the profile"
    path.write_text(path.read_text().replace("name: mine", "name: mine, epochs: 4"))
    assert recipe.load(path).epochs == 4, "a file has the last word over the profiles of its bases"
    with pytest.raises(
        UsageError, match=r"unknown profile 'papr' \(did you mean paper\?\) of .*; choose from fast, paper"
    ):
        recipe.load(path, ["profile=papr"])


def test_a_recipe_without_profiles_does_not_pretend_to_have_one():
    with pytest.raises(UsageError, match=r"unknown profile 'paper' of p1f4\.mini"):
        recipe.load("p1f4.mini", ["profile=paper"])


def documented_recipes():
    return re.findall(r"```yaml\n(.*?)```", (resources.CHECKOUT / "docs" / "training.md").read_text(), re.DOTALL)


def test_the_growing_images_of_the_documentation_take_as_many_epochs_as_it_says(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text("base: [f4.mini]\nname: grown\nscenario: p1f4\n" + documented_recipes()[1])
    loaded = recipe.load(path)
    sides = [loaded.side_at(epoch / loaded.epochs) for epoch in range(loaded.epochs)]
    assert sides == [16] * 8 + [24] * 12 + [32] * 20


def test_the_example_of_the_documentation_says_what_is_run(tmp_path):
    example, path = documented_recipes()[0], tmp_path / "example.yaml"
    path.write_text(example.replace("steps: 3", "steps: 7").replace("peak: 0.2", "peak: 0.05") + "epochs: 3\n")
    loaded = recipe.load(path)
    assert [getattr(phase, "steps", None) for phase in loaded.adversary] == [2, 7]
    assert (loaded.schedule[0].peak, loaded.epochs, loaded.objective.name) == (0.05, 3, "selfie")


def test_a_base_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{base: nothing-here, name: mine}")
    with pytest.raises(UsageError, match=r"nothing-here.*Choose from .*mini"):
        recipe.load(path)


def test_every_mistake_brings_the_nearest_word(recipe_file, tmp_path):
    options = [
        "epocs=3",
        "objective={name: rotatoin}",
        "parent=selfie-p3.mni",
        "epochs=many",
        "data=cifra10",
        "deployed=lsat",
        "profile=papr",
        "adversary.0.until=1",
        "optimizer=sgd",
        "schedule.5.peak=1",
        "batch_size",
    ]
    with pytest.raises(UsageError) as caught:
        recipe.load_any(recipe_file, options, runs=tmp_path)
    message = caught.value.message
    for part in (
        "epocs: unknown key (did you mean epochs?)",
        "did you mean rotation?",
        "epochs: Input should",
        "data: unknown data set 'cifra10' (did you mean cifar10?)",
        "'best-ra' or 'last' (did you mean last?)",
        "profile: unknown profile 'papr' of tiny; leave it out",
        "adversary: the phases must end at rising fractions",
        "optimizer: must be a map of keys, got 'sgd'",
        "the override 'schedule.5.peak=1' does not match a key of the recipe",
        "'batch_size' is not of the form KEY=VALUE, for example epochs=10",
    ):
        assert part in message
    assert "parent: unknown checkpoint 'selfie-p3.mni' (did you mean selfie-p3.mini?)" in message


def test_new_options_do_not_change_the_hash_of_old_recipes(recipe_file):
    plain = recipe.load(recipe_file)
    assert recipe.load(recipe_file, ["accumulation=1", "attack_mode=eval", "clean_weight=0"]).sha256 == plain.sha256
    assert recipe.load(recipe_file, ["attack_mode=train"]).sha256 != plain.sha256
    assert recipe.load(recipe_file, ["adversary=[{name: none}]"]).sha256 != plain.sha256


def test_momentum_and_nesterov_have_to_fit(recipe_file):
    with pytest.raises(UsageError, match="nesterov"):
        recipe.load(recipe_file, ["optimizer.momentum=0"])


# --- the paper's profile, value by value (Chen et al. 2020, section 4.1, and the authors' scripts) --------------------

PRETRAINING = {
    # name: epochs, peak, floor, warm-up steps, weight decay, Nesterov, seed
    "rotation-p2.r50": (200, 0.1, 1e-6, 200, 3e-4, False, 22),
    "rotation-p3.r50": (100, 0.1, 1e-6, 200, 3e-4, False, 22),
    "jigsaw-p2.r50": (200, 0.1, 1e-6, 200, 5e-4, False, 22),
    "jigsaw-p3.r50": (100, 0.1, 1e-6, 200, 3e-4, False, 22),
    "selfie-p2.r50": (200, 0.025, 1e-6, 0, 1e-4, True, 10),
    "selfie-p3.r50": (200, 0.025, 1e-6, 0, 1e-4, True, 10),
    "apse-p3.r50": (150, 0.001, 1e-8, 0, 1e-4, True, 22),
    "apdpe-p3.r50": (150, 0.001, 1e-8, 0, 1e-4, True, 22),
}


@pytest.mark.parametrize("name", PRETRAINING)
def test_the_papers_pretraining(name):
    made = recipe.load(name, ["profile=paper"])
    (schedule,), sgd = made.schedule, made.optimizer
    rates = schedule.peak, schedule.floor, schedule.warmup_steps
    assert (made.epochs, *rates, sgd.weight_decay, sgd.nesterov, made.seed) == PRETRAINING[name]
    assert (schedule.name, sgd.momentum, sgd.decays, made.batch_size) == ("cosine", 0.9, "all", 256)
    selfie = name.startswith("selfie")
    assert (made.augmentation.flip, made.augmentation.crop_padding) == ((False, 2) if selfie else (True, 4))
    if selfie:
        task = made.objective
        assert (task.transformer, task.mask, task.double_softmax) == ("code", "batch", True)
    (adversary,) = made.adversary
    if "-p3" in name:
        assert (adversary.steps, adversary.eps, adversary.step_size) == (10, 8 / 255, 2 / 255)
        assert (made.clean_weight, made.attack_mode) == (0.5, "train")
    else:
        assert (adversary.name, made.clean_weight) == ("none", 0)
    assert (made.deployed, made.averaging.decay, made.validation.images) == ("best-ta", 0, 5000)


@pytest.mark.parametrize(("name", "inner", "outer"), [("apdpe-p3.r50", 0.1, 0.1), ("apdpe-l05-p3.r50", 0.5, 0.5)])
@pytest.mark.parametrize("profile", ["fast", "paper"])
def test_lambda(name, inner, outer, profile):
    diversity = recipe.load(name, [f"profile={profile}"]).objective.diversity
    assert (diversity.inner, diversity.outer, diversity.outer_sign, diversity.frame) == (inner, outer, 1, "task")


@pytest.mark.parametrize("scenario", ["p1f4", "selfie-p3f4", "rotation-p2f4", "selfie-p3f2", "p1f3", "jigsaw-p3f1"])
def test_the_papers_fine_tuning(scenario):
    made = recipe.load(f"{scenario}.r50", ["profile=paper"])
    (schedule,), sgd, (adversary,) = made.schedule, made.optimizer, made.adversary
    assert (made.epochs, schedule.peak, schedule.epochs, schedule.warmup_steps) == (100, 0.1, (30, 50), 200)
    assert (sgd.weight_decay, sgd.nesterov, sgd.decays, sgd.momentum) == (3e-4, False, "all", 0.9)
    assert (made.batch_size, made.seed, made.clean_weight, made.objective.label_smoothing) == (256, 20, 0, 0)
    attacked = scenario[-1] in "24"
    assert (adversary.passes, made.trains) == (10 if attacked else 0, "head" if scenario[-1] in "12" else "all")


def test_the_papers_one_shot_baseline():
    made = recipe.load("oneshot-f4.r50", ["profile=paper"])
    (schedule,), sgd = made.schedule, made.optimizer
    assert (schedule.name, schedule.peak, schedule.floor) == ("cosine", 0.1, 1e-6)
    assert (made.epochs, made.batch_size) == (100, 128)
    assert (sgd.nesterov, sgd.weight_decay) == (True, 5e-4)
    assert (made.objective.rotation_weight, made.objective.attack_rotation_weight) == (0.5, 1.0)


@pytest.mark.parametrize("base", ["../outside", "/etc/hosts", "", 5, None, [["low"]], {"a": 1}])
def test_a_base_is_a_name_and_no_path(base, tmp_path):
    (tmp_path / "outside.yaml").write_text("{}")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": base, "name": "mine"}))
    with pytest.raises(UsageError, match="`base` must be the name of a file in bases/"):
        recipe.load(path)


@pytest.mark.parametrize("base", ["mine", "[mine, mine]"])
def test_a_recipe_that_builds_on_itself(base, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"{{base: {base}, name: mine}}")
    with pytest.raises(UsageError, match=r"mine\.yaml includes itself or more than 50 files"):
        recipe.load(tmp_path / "mine.yaml")


def test_names_that_no_file_system_takes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{{name: mine, data: '{'y' * 5000}', members: ['{'x' * 5000}', 5], parent: 'a\\0b'}}")
    with pytest.raises(UsageError, match=r"unknown data set 'yyy.*members: unknown checkpoint 'xxx"):
        recipe.load_any(path, runs=tmp_path)
