"""Fine-tuning starts from exactly the parent's trunk, and what is frozen stays as it was, bit for bit."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import read_json
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.training import parents, recipe, state, trainer
from advss_zoo.training.distributed import DistributedContext
from advss_zoo.training.trainer import Trainer
from advss_zoo.zoo import WEIGHTS, checkpoint

ARCHITECTURE = ResNetV2Architecture(depth=18, width=2, num_classes=100)


def tuned(recipe_file, parent, *options):
    return recipe.load(recipe_file, [f"parent={parent}", "epochs=1", *options])


def test_a_pretrained_checkpoint_is_a_trunk_with_its_task(pretrained):
    model, config = checkpoint.load(pretrained / "average")
    assert (config.kind, config.objective.name, config.classes) == ("trunk", "rotation", ())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 4)


def test_every_tensor_of_the_trunk_is_copied_and_nothing_else(pretrained):
    torch.manual_seed(1)
    network = ResNetV2(ARCHITECTURE)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    inherited = parents.inherit_trunk(network, pretrained / "average")
    parent, _ = checkpoint.load(pretrained / "average")
    after = network.state_dict()
    trunk = [name for name in after if name.startswith("trunk.")]
    assert inherited.tensors == len(trunk)
    assert all(torch.equal(after[name], parent.state_dict()[name]) for name in trunk)
    kernels = [name for name in trunk if after[name].ndim >= 2]
    assert not any(torch.equal(after[name], before[name]) for name in kernels)
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith("head."))
    assert inherited.trunk_sha256_before != inherited.trunk_sha256_after


def test_the_whole_trunk_of_the_papers_network_has_258_tensors():
    with torch.device("meta"):
        assert len(ResNetV2(ResNetV2Architecture()).trunk.state_dict()) == 258


@pytest.mark.parametrize("adversary", ["{name: none}", "{name: pgd, steps: 1}"], ids=["f1", "f2"])
def test_a_frozen_trunk_stays_bit_for_bit(cache, recipe_file, pretrained, adversary):
    loaded = tuned(recipe_file, "tiny-p3.test", "trains=head", f"adversary=[{adversary}]", "name=frozen")
    out = pretrained.parent / f"frozen-{'none' in adversary}.test"
    trainer.train(loaded, out)
    trained, _ = state.load(out / "state.safetensors")
    parent, _ = checkpoint.load(pretrained / "average")
    assert all(torch.equal(trained["model"][name], t) for name, t in parent.state_dict().items() if "trunk" in name)
    _, config = checkpoint.load(out / "average")
    assert config.provenance.parent == "tiny-p3.test"
    record = read_json(out / "parent.json")
    assert (
        record["weights_sha256"]
        == config.provenance.parent_sha256
        == checkpoint.read_config(pretrained / "average").sha256
    )


def test_a_frozen_trunk_whose_statistics_may_move_moves_them_alone(cache, recipe_file, pretrained):
    loaded = tuned(recipe_file, "tiny-p3.test", "trains=head", "frozen_statistics=false")
    made = Trainer(loaded, pretrained.parent / "moving.test", DistributedContext())
    before = {name: tensor.clone() for name, tensor in made.state.model.trunk.state_dict().items()}
    made.train_step()
    after = made.state.model.trunk.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved)


@pytest.mark.parametrize("adversary", ["{name: none}", "{name: pgd, steps: 1}"], ids=["f3", "f4"])
def test_full_fine_tuning_moves_trunk_and_head(cache, recipe_file, pretrained, adversary):
    made = Trainer(
        tuned(recipe_file, "tiny-p3.test", f"adversary=[{adversary}]"),
        pretrained.parent / "f.test",
        DistributedContext(),
    )
    before = {name: weight.detach().clone() for name, weight in made.state.model.named_parameters()}
    made.train_step()
    assert not any(
        torch.equal(weight, before[name]) for name, weight in made.state.model.named_parameters() if weight.ndim > 1
    )


def test_a_resumed_run_needs_its_parent_no_more(cache, recipe_file, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "tiny-p3.test")
    loaded = tuned(recipe_file, "tiny-p3.test")
    trainer.train(loaded, tmp_path / "run")
    shutil.rmtree(tmp_path / "tiny-p3.test")
    trainer.train(loaded, tmp_path / "run", resume=True)


def test_a_parent_that_is_nowhere_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "names", lambda: ["someone-p3.mini"])
    with pytest.raises(UsageError, match=r"advss train someone-p3\.mini"):
        parents.find("someone-p3.mini", tmp_path)
    with pytest.raises(UsageError, match="Unknown checkpoint"):
        parents.find("nobody-p3.mini", tmp_path)


def test_an_unfinished_run_is_no_parent(pretrained, tmp_path):
    """Its best weights so far are there, and will be others when it is done."""
    shutil.copytree(pretrained, tmp_path / "tiny-p3.test")
    assert parents.find("tiny-p3.test", tmp_path) == tmp_path / "tiny-p3.test" / "average"
    shutil.rmtree(tmp_path / "tiny-p3.test" / "last")
    with pytest.raises(UsageError, match=r"not finished.*advss train .*tiny-p3\.test --resume"):
        parents.find("tiny-p3.test", tmp_path)


@pytest.mark.parametrize("damage", ["missing", "renamed", "misshapen", "nan"])
def test_a_trunk_that_is_not_whole_is_refused_by_name(pretrained, tmp_path, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(pretrained / "average", folder)
    weights = load_file(folder / WEIGHTS)
    name = "trunk.layer2.0.conv1.weight"
    tensor = weights.pop(name)
    replaced = {
        "missing": {}, "renamed": {"trunk.layer9.weight": tensor}, "misshapen": {name: tensor[:1].clone()},
        "nan": {name: tensor * float("nan")},
    }  # fmt: skip
    save_file(weights | replaced[damage], folder / WEIGHTS)
    config = checkpoint.read_config(folder).model_copy(update={"sha256": None})
    (folder / "config.json").write_text(config.model_dump_json())
    with pytest.raises(CheckpointError, match=r"trunk\.layer2\.0\.conv1\.weight"):
        parents.inherit_trunk(ResNetV2(ARCHITECTURE), folder)


@pytest.mark.parametrize(
    ("key", "mine", "says"),
    [("width", 4, "architecture.width=2"), ("depth", 50, "depth=18"), ("shortcut_bn", False, "shortcut_bn=True")],
)
def test_a_parent_that_is_built_otherwise_is_refused_with_what_would_fit(pretrained, key, mine, says):
    with pytest.raises(CheckpointError, match=rf"was trained with {key} .*{says}"):
        parents.inherit_trunk(ResNetV2(ARCHITECTURE.model_copy(update={key: mine})), pretrained / "average")


def test_a_parent_that_saw_other_normalisation_is_refused(pretrained):
    other = ARCHITECTURE.model_copy(update={"mean": (0.5, 0.5, 0.5)})
    with pytest.raises(CheckpointError, match=r"mean \(0.485.*architecture.mean=\[0.485,0.456,0.406\]"):
        parents.inherit_trunk(ResNetV2(other), pretrained / "average")


def test_the_profile_of_a_parent_found_by_name_has_to_be_the_childs(pretrained):
    assert parents.find("tiny-p3.test", pretrained.parent, "fast")
    with pytest.raises(UsageError, match=r"profile fast, but the recipe has paper.*parent="):
        parents.find("tiny-p3.test", pretrained.parent, "paper")
    assert parents.find(str(pretrained / "average"), pretrained.parent, "paper")


def test_hints_for_the_paper_profile_name_it(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "names", lambda: ["someone-p3.r50"])
    with pytest.raises(UsageError, match=r"advss train someone-p3\.r50 profile=paper"):
        parents.find("someone-p3.r50", tmp_path, "paper")
