"""Ensembles: made of checkpoints, loaded as one model, refused when their members do not fit."""

from __future__ import annotations

import errno
import shutil

import pytest
import torch
import yaml

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.training import recipe
from advss_zoo.training.assembly import assemble
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.zoo import checkpoint, ensembles
from advss_zoo.zoo.open import open_model

ARCHITECTURE = ResNetV2Architecture(depth=18, width=2, num_classes=3)


@pytest.fixture
def members(tmp_path):
    folders = []
    for number in range(3):
        torch.manual_seed(number)
        config = checkpoint.Config(
            name=f"member-{number}", tag="test", scenario="p1f4", architecture=ARCHITECTURE, classes=("a", "b", "c")
        )
        folders.append(tmp_path / "made" / config.full_name)
        checkpoint.save(folders[-1], ResNetV2(ARCHITECTURE).state_dict(), config)
    return folders


def ensemble_of(members, name="together"):
    return EnsembleRecipe(name=name, tag="test", scenario="p1f4", members=[str(member) for member in members])


def test_an_ensemble_predicts_the_mean_of_its_members(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "runs" / "together.test")
    loaded = open_model(folder)
    x = torch.rand(4, 3, 32, 32)
    mean = torch.stack([open_model(member)(x).softmax(1) for member in members]).mean(0)
    assert torch.allclose(loaded(x).exp(), mean, atol=1e-6)
    assert loaded.name == "together.test"
    assert loaded.classes == ("a", "b", "c")
    assert loaded.sha256 == ensembles.read(folder).sha256


def test_three_copies_predict_what_one_does(members, tmp_path):
    copies = [members[0]] * 3
    folder = assemble(ensemble_of(copies), tmp_path / "runs" / "copies.test")
    x = torch.rand(4, 3, 32, 32)
    assert torch.allclose(open_model(folder)(x), open_model(members[0])(x).log_softmax(1), atol=1e-6)


def test_members_are_found_among_runs(members, tmp_path):
    runs = tmp_path / "runs"
    for member in members[:2]:
        for picked in ("average", "last"):
            folder = runs / member.name / picked
            shutil.copytree(member, folder)
            made = checkpoint.Provenance(
                **{"recipe": "m.test", "recipe_sha256": "", "profile": "fast", "data": "cifar10", "split": "train"},
                **{"picked": picked, "deployed": "average", "epochs": 1},
            )
            config = checkpoint.read_config(folder).model_copy(update={"provenance": made})
            (folder / "config.json").write_text(config.model_dump_json())
        (runs / member.name / "recipe.yaml").touch()
    made_of = EnsembleRecipe(name="x", tag="test", scenario="p1f4", members=["member-0.test", "member-1.test"])
    assert len(ensembles.read(assemble(made_of, runs / "x.test")).members) == 2
    with pytest.raises(UsageError, match=r"member-9\.test"):
        assemble(made_of.model_copy(update={"members": ["member-0.test", "member-9.test"]}), runs / "x.test")


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_ensemble_takes_the_place_of_the_first_as_a_whole(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "together.test")
    (folder / "results").mkdir()
    assemble(ensemble_of(members[1:]), tmp_path / "together.test")
    alone = assemble(ensemble_of(members[1:]), tmp_path / "alone" / "together.test")
    assert content(folder) == content(alone)
    assert [path.name for path in (tmp_path / "together.test").iterdir()] == ["ensemble"]
    assert not (folder / "results").exists(), "they were of the other"


def test_a_member_that_was_trained_again_takes_its_place(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "together.test")
    before = ensembles.read(folder).sha256
    torch.manual_seed(9)
    checkpoint.save(members[0], ResNetV2(ARCHITECTURE).state_dict(), checkpoint.read_config(members[0]))
    assemble(ensemble_of(members), tmp_path / "together.test")
    assert open_model(folder).sha256 != before


def test_an_ensemble_that_cannot_be_copied_leaves_the_one_that_was_there(members, tmp_path, monkeypatch):
    folder = assemble(ensemble_of(members[:2]), tmp_path / "together.test")
    before, copytree = content(tmp_path / "together.test"), shutil.copytree

    def fails(source, target, **options):
        copytree(source, target, **options)
        if target.name == "member-1.test":
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(shutil, "copytree", fails)
    with pytest.raises(AdvssError, match="No space left on device"):
        assemble(ensemble_of(members), tmp_path / "together.test")
    assert content(tmp_path / "together.test") == before
    folder.rename(folder.with_name(".ensemble.old"))  # as a kill at the worst moment leaves it
    with pytest.raises(AdvssError, match="No space left on device"):
        assemble(ensemble_of(members), tmp_path / "together.test")
    assert content(tmp_path / "together.test") == before


def test_the_very_same_ensemble_keeps_what_was_measured_of_it(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "together.test")
    (folder / "results").mkdir()
    config = ensembles.read(folder).model_copy(update={"temperature": 2.0})
    (folder / "config.json").write_text(config.model_dump_json())
    assemble(ensemble_of(members), tmp_path / "together.test")
    assert (folder / "results").is_dir()
    assert ensembles.read(folder).temperature == 2.0
    shutil.copytree(members[0], folder / "members" / "stranger.test")
    assemble(ensemble_of(members), tmp_path / "together.test")
    assert sorted(path.name for path in (folder / "members").iterdir()) == [member.name for member in members]


def test_members_may_be_given_as_folders(members, tmp_path):
    names = EnsembleRecipe(name="x", tag="test", scenario="p1f4", members=["member-0.test", "member-1.test"])
    folder = assemble(names, tmp_path / "x.test", members[:2])
    assert recipe.load_any(folder / "recipe.yaml") == names
    assert [member.name for member in ensembles.read(folder).members] == names.members


def test_a_member_whose_weights_have_changed_is_refused(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "together.test")
    inside = folder / "members" / "member-1.test"
    shutil.rmtree(inside)
    shutil.copytree(folder / "members" / "member-2.test", inside)
    with pytest.raises(CheckpointError, match="was made of"):
        open_model(folder)


def test_trunks_and_strangers_do_not_vote(members, tmp_path, pretrained):
    with pytest.raises(UsageError, match="trunk"):
        assemble(ensemble_of([members[0], pretrained / "average"]), tmp_path / "x.test")
    other = checkpoint.read_config(members[1]).model_copy(update={"classes": ("a", "b", "z")})
    (members[1] / "config.json").write_text(other.model_dump_json())
    with pytest.raises(UsageError, match="same classes"):
        assemble(ensemble_of(members), tmp_path / "x.test")


def test_the_recipe_of_an_ensemble_reads_back_and_trains_nothing(members, tmp_path):
    folder = assemble(ensemble_of(members), tmp_path / "together.test")
    assert recipe.load_any(folder / "recipe.yaml") == ensemble_of(members)
    with pytest.raises(UsageError, match="is an ensemble: train its members"):
        recipe.load(folder / "recipe.yaml")


def test_mistakes_of_an_ensemble_recipe_are_named_at_once(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump({"name": "E!", "tag": "mini", "members": ["p1f4.mni", "p1f3.mini"], "epochs": 3}))
    with pytest.raises(UsageError) as caught:
        recipe.load_any(path, runs=tmp_path)
    for part in ("name", "scenario", "epochs", "did you mean p1f4.mini"):
        assert part in caught.value.message


@pytest.mark.parametrize("name", [name for name in recipe.names() if name.startswith("ensemble-")])
def test_shipped_ensembles_are_of_recipes_that_ship(name):
    made_of = recipe.load_any(name)
    assert made_of.full_name == name
    assert {recipe.load(member).scenario for member in made_of.members} == {"p3f4"}


def test_members_of_one_name_must_have_one_set_of_weights(members, tmp_path):
    twin = checkpoint.read_config(members[1]).model_copy(update={"name": "member-0"})
    (members[1] / "config.json").write_text(twin.model_dump_json())
    with pytest.raises(UsageError, match="under different names"):
        assemble(ensemble_of(members), tmp_path / "x.test")


@pytest.mark.parametrize("name", ["../evil.test", "/evil.test", "evil/../x.test", "evil"])
def test_the_name_of_a_member_is_never_a_path(members, tmp_path, name):
    folder = assemble(ensemble_of(members), tmp_path / "x.test")
    config = folder / "config.json"
    config.write_text(config.read_text().replace("member-1.test", name))
    with pytest.raises(CheckpointError, match=r"members\.1\.name"):
        open_model(folder)


@pytest.mark.parametrize("name", ["../evil", "a/b", "A", ""])
def test_the_name_of_a_checkpoint_is_never_a_path(members, name):
    config = members[0] / "config.json"
    config.write_text(config.read_text().replace("member-0", name))
    with pytest.raises(CheckpointError, match="name"):
        checkpoint.load(members[0])
