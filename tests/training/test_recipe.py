"""Recipes: the shipped ones are valid, mistakes are named all at once, nothing is guessed."""

from __future__ import annotations

import pytest

from advss_zoo.errors import AdvssError, UsageError
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


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UsageError, match=r"p1f4\.mini"):
        recipe.load("p9f9")


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


def test_a_base_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{base: nothing-here, name: mine}")
    with pytest.raises(UsageError, match=r"nothing-here.*There are: .*mini"):
        recipe.load(path)


def test_every_mistake_brings_the_nearest_word(recipe_file, tmp_path):
    options = ["epocs=3", "objective={name: rotatoin}", "parent=selfie-p3.mni", "epochs=many"]
    with pytest.raises(UsageError) as caught:
        recipe.load_any(recipe_file, options, runs=tmp_path)
    message = caught.value.message
    for part in (
        "epocs: there is no such key (did you mean epochs?)",
        "did you mean rotation?",
        "epochs: Input should",
    ):
        assert part in message
    assert "parent: there is no 'selfie-p3.mni' (did you mean selfie-p3.mini?)" in message


def test_new_options_do_not_change_the_hash_of_old_recipes(recipe_file):
    plain = recipe.load(recipe_file)
    assert recipe.load(recipe_file, ["accumulation=1", "attack_mode=eval", "clean_weight=0"]).sha256 == plain.sha256
    assert recipe.load(recipe_file, ["attack_mode=train"]).sha256 != plain.sha256
    assert recipe.load(recipe_file, ["adversary=[{name: none}]"]).sha256 != plain.sha256
