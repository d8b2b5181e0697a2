"""A run that learns from soft labels: where they come from, what they are, and that a resume changes nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from advss_zoo.errors import ModelWarning, UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.objectives.base import Batch
from advss_zoo.training import recipe, teacher, trainer
from advss_zoo.training.precision import Precision
from advss_zoo.training.recipe import TeacherOptions
from advss_zoo.training.teacher import Teacher
from advss_zoo.zoo import checkpoint

FP32 = Precision("fp32", torch.device("cpu"))


class Says(nn.Module):
    """The same logits for every image; it remembers what it was shown."""

    def __init__(self, *logits):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.logits = torch.tensor(logits)

    def forward(self, images):
        self.shown, self.computed_in = images, self.linear(images[:, 0, 0, :1]).dtype
        return self.logits.expand(len(images), -1)


def batch_of(*targets, side=4):
    return Batch(torch.rand(len(targets), 3, side, side), torch.tensor(targets), torch.arange(len(targets)))


def soft(options, *logits, targets, progress=0.0):
    batch = Teacher(TeacherOptions.model_validate(options), Says(*logits), FP32).label(batch_of(*targets), progress)
    return batch.soft.tolist()


# --- labels -------------------------------------------------------------------------------------------------------


def test_soft_labels_are_the_teachers_probabilities():
    (found,) = soft("another", 0.0, 3.0, 1.0, targets=[0])
    assert found == pytest.approx(torch.tensor([0.0, 3.0, 1.0]).softmax(0).tolist())


def test_temperature_and_share_move_along_a_cosine():
    options = {"model": "another", "temperature_start": 2, "temperature": 1, "share_start": 0.5, "share": 1}
    for progress, temperature, share in ((0, 2, 0.5), (0.5, 1.5, 0.75), (1, 1, 1)):
        (found,) = soft(options, 0.0, 3.0, targets=[0], progress=progress)
        taught = (torch.tensor([0.0, 3.0]) / temperature).softmax(0)
        expected = share * taught + (1 - share) * torch.tensor([1.0, 0.0])
        assert found == pytest.approx(expected.tolist())


def test_the_own_average_is_corrected_where_it_is_wrong():
    """ADR: the share falls by how far the true class is behind, so that it keeps the largest probability."""
    options = {"model": "self", "temperature_start": 1, "temperature": 1, "share_start": 0.8, "share": 0.8}
    taught = torch.tensor([0.0, 3.0, 1.0]).softmax(0)
    right, wrong = soft(options, 0.0, 3.0, 1.0, targets=[1, 0])
    assert right == pytest.approx((0.8 * taught + 0.2 * torch.tensor([0.0, 1.0, 0.0])).tolist())
    share = max(0.0, 0.8 - float(taught[1] - taught[0]))
    assert wrong == pytest.approx((share * taught + (1 - share) * torch.tensor([1.0, 0.0, 0.0])).tolist())
    assert wrong[0] == max(wrong)


PROBABLE = """
import torch
from torch import nn


class Other(nn.Module):
    def forward(self, x):
        z = 9 * x.mean(dim=(2, 3))
        return FORM


def build():
    return Other()
"""


@pytest.mark.parametrize("form", ["z.softmax(1)", "(z, x)", "{'logits': z, 'features': z}", "z.half()"])
def test_a_teacher_of_others_teaches_what_its_logits_say(form, recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("the_teacher.py").write_text(PROBABLE.replace("FORM", form))
    monkeypatch.delitem(sys.modules, "the_teacher", raising=False)
    options = recipe.load(recipe_file, ["teacher=the_teacher:build"])
    with pytest.warns(ModelWarning, match="the_teacher:build"):
        found = teacher.for_run(options, nn.Identity(), ("a", "b", "c"), tmp_path, torch.device("cpu"))
    batch = batch_of(0, 1, 2, side=options.side)
    taught = (9 * batch.inputs.mean(dim=(2, 3)) / options.teacher.temperature_at(0.5)).softmax(1)
    share = options.teacher.share_at(0.5)
    assert torch.allclose(found.label(batch, 0.5).soft, share * taught + (1 - share) * torch.eye(3), atol=2e-2)


def test_smaller_images_are_shown_to_the_teacher_in_the_size_it_knows():
    model = Says(0.0, 1.0)
    Teacher(TeacherOptions(model="another"), model, FP32, side=32).label(batch_of(0, side=16), 0)
    assert model.shown.shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_teacher_computes_in_the_precision_of_the_run_and_without_gradients(precision, dtype, monkeypatch):
    monkeypatch.setattr("advss_zoo.training.precision.computes_bfloat16", lambda device: True)
    model = Says(0.0, 1.0)
    teacher = Teacher(TeacherOptions(model="another"), model, Precision(precision, torch.device("cpu")))
    labelled = teacher.label(batch_of(0), 0)
    assert model.computed_in == dtype
    assert labelled.soft.dtype == torch.float32
    assert not labelled.soft.requires_grad


# --- recipes ------------------------------------------------------------------------------------------------------


def test_a_recipe_may_name_the_teacher_alone(recipe_file):
    assert recipe.load(recipe_file, ["teacher=p1f4.mini"]).teacher == TeacherOptions(model="p1f4.mini")
    own = recipe.load(recipe_file, ["teacher=self"]).teacher
    assert (own.temperature_at(0), own.temperature_at(1)) == pytest.approx((2, 1))
    assert (own.share_at(0), own.share_at(1)) == pytest.approx((0.7, 0.95))


def test_a_recipe_survives_being_written_down(recipe_file, tmp_path):
    loaded = recipe.load(recipe_file, ["teacher={model: self, share: 0.9}"])
    (tmp_path / "again.yaml").write_text(loaded.to_yaml())
    assert recipe.load(tmp_path / "again.yaml") == loaded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["objective={name: rslad}"], "`objective` rslad needs a `teacher`"),
        (["objective={name: rotation}", "teacher=p1f4.mini"], "`objective` rotation does not support `teacher`"),
        (["teacher={model: self, share: 1}"], "`share` must be below 1"),
        (["teacher=p1f4.mimi"], "unknown checkpoint 'p1f4.mimi'"),
        (["teacher=p1f4.mini+selfie-p3f4.mimi"], "unknown checkpoint 'selfie-p3f4.mimi'"),
    ],
)
def test_mistakes_in_a_recipe_are_named(recipe_file, options, message):
    with pytest.raises(UsageError, match=message):
        recipe.load_any(recipe_file, options, runs=Path("runs"))


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(small_cache, recipe_file, tmp_path_factory):
    """A folder of runs with a finished one, the teacher."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVSS_CACHE", str(small_cache))
        loaded = recipe.load(recipe_file, ["name=teacher", "epochs=1", "validation.every=1", "architecture.width=3"])
        trainer.train(loaded, folder / "teacher.test")
    return folder


@pytest.fixture
def beside(runs, tmp_path):
    """A copy of it for runs of one test."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


KINDS = {
    "another": ["name=pupil", "teacher=teacher.test", "objective={name: rslad}"],
    "own average": ["name=own", "teacher=self"],
}


def stopping_at(step):
    def stop(done, total, note):
        if done == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_ends_with_the_same_weights(cache, recipe_file, beside, monkeypatch, kind):
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    loaded = recipe.load(recipe_file, [*KINDS[kind], "epochs=2"])
    shipped = trainer.train(loaded, beside / "whole")
    with pytest.raises(KeyboardInterrupt):
        trainer.train(loaded, beside / "stopped", progress=stopping_at(4))
    resumed = trainer.train(loaded, beside / "stopped", resume=True)
    assert (resumed / "model.safetensors").read_bytes() == (shipped / "model.safetensors").read_bytes()

    made = checkpoint.read_config(resumed).provenance
    theirs = checkpoint.read_config(beside / "teacher.test" / "average")
    expected = ("teacher.test", theirs.sha256) if kind == "another" else ("self", None)
    assert (made.teacher, made.teacher_sha256) == expected

    plain = trainer.train(recipe.load(recipe_file, ["epochs=2"]), beside / "plain")
    assert (plain / "model.safetensors").read_bytes() != (shipped / "model.safetensors").read_bytes()
    assert checkpoint.read_config(plain).provenance.teacher is None


def test_a_run_does_not_go_on_with_another_teacher(cache, recipe_file, beside, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    loaded = recipe.load(recipe_file, KINDS["another"])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(loaded, beside / "pupil", progress=stopping_at(2))
    model, config = checkpoint.load(beside / "teacher.test" / "average")
    checkpoint.save(beside / "teacher.test" / "average", {n: t * 2 for n, t in model.state_dict().items()}, config)
    with pytest.raises(UsageError, match=r"teacher's weights have changed"):
        trainer.train(loaded, beside / "pupil", resume=True)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"classes": tuple(map(str, range(100)))}, "has the classes 0, 1, 2 and 97 more, but the data have apple"),
        ({"image_size": 64}, "takes images of 64 pixels a side, but the recipe has 32"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_the_folder_is_claimed(
    cache, recipe_file, beside, described, message
):
    folder = beside / "teacher.test" / "average"
    model, config = checkpoint.load(folder)
    checkpoint.save(folder, model.state_dict(), config.model_copy(update=described))
    with pytest.raises(UsageError, match=message):
        trainer.train(recipe.load(recipe_file, KINDS["another"]), beside / "pupil")
    assert not (beside / "pupil").exists()


# --- cost ---------------------------------------------------------------------------------------------------------


def test_what_the_teacher_costs_is_counted_in_passes_of_the_pupil(recipe_file, tmp_path):
    architecture = ResNetV2Architecture(depth=18, width=2, num_classes=100)
    for name in ("one", "two"):
        config = checkpoint.Config(
            name=name, tag="test", scenario="p1f4", architecture=architecture, classes=tuple(map(str, range(100)))
        )
        checkpoint.save(tmp_path / name, ResNetV2(architecture).state_dict(), config)

    def passes(*options):
        return teacher.passes_per_image(recipe.load(recipe_file, options), tmp_path)

    one, two = tmp_path / "one", tmp_path / "two"
    assert passes() == 0
    assert passes("teacher=self") == passes(f"teacher={one}") == pytest.approx(1 / 3)
    assert passes(f"teacher={one}+{two}") == pytest.approx(2 / 3)
    assert passes(f"teacher={one}", "architecture.width=4") < 1 / 6, "of a larger pupil's passes it is less"
