"""The trainer: same recipe, same weights, whatever happens on the way; frozen parts stay; test images stay unread."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.arithmetic import on_threads
from advss_zoo.objectives.classification import Classification
from advss_zoo.training import examples, gradients, log, recipe, state, trainer
from advss_zoo.training.distributed import DistributedContext
from advss_zoo.training.trainer import Trainer
from advss_zoo.zoo import checkpoint

PICKED = ("average", "last", "best-ta", "best-ra")


def weights(run):
    return {picked: (run / picked / "model.safetensors").read_bytes() for picked in PICKED}


@pytest.fixture(scope="module")
def unbroken(small_cache, recipe_file, tmp_path_factory):
    """The run that all others are compared with."""
    out = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVSS_CACHE", str(small_cache))
        trainer.train(recipe.load(recipe_file), out)
    return out


def test_a_run_leaves_everything_a_person_looks_for(unbroken):
    assert {path.name for path in unbroken.iterdir()} == {
        "recipe.yaml", "log.jsonl", "curves.png", "state.safetensors", "tensorboard", ".lock", *PICKED,
    }  # fmt: skip
    records = log.read(unbroken / "log.jsonl")
    assert [r["epoch"] for r in records if "validation" in r] == [2, 4]
    assert (unbroken / "curves.png").read_bytes().startswith(b"\x89PNG")
    for picked in PICKED:
        model, config = checkpoint.load(unbroken / picked)
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 100)
        assert config.provenance.recipe_sha256 == recipe.load(unbroken / "recipe.yaml").sha256
        assert config.provenance.picked == picked


def test_training_lowers_the_loss(cache, recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    options = ["epochs=12", "schedule.0.peak=0.3", "adversary=[{name: none}]", "validation.every=12", "data=cifar100"]
    trainer.train(recipe.load(recipe_file, options), tmp_path / "run")
    losses = [r["loss"] for r in log.read(tmp_path / "run" / "log.jsonl") if "loss" in r]
    assert sum(losses[-3:]) < sum(losses[:3])


@pytest.mark.parametrize("stop", [1, 5, 6, 11])
def test_a_run_stopped_after_any_step_ends_with_the_same_weights(
    cache, unbroken, recipe_file, tmp_path, monkeypatch, stop
):
    """Steps 1 and 5 lie in the middle of an epoch, 6 at a validation, 11 just before the end."""

    class StoppedError(Exception):
        pass

    def stopping(done, total, note):
        if done == stop:
            raise StoppedError

    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    loaded = recipe.load(recipe_file)
    with pytest.raises(StoppedError):
        trainer.train(loaded, tmp_path / "run", progress=stopping)
    trainer.train(loaded, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(unbroken)
    timeless = [{k: v for k, v in r.items() if k != "seconds"} for r in log.read(tmp_path / "run" / "log.jsonl")]
    assert timeless == [{k: v for k, v in r.items() if k != "seconds"} for r in log.read(unbroken / "log.jsonl")]


@pytest.mark.parametrize(("said", "threads"), [(None, 2), ("1", 1)])
def test_a_run_goes_on_with_the_threads_it_began_with_unless_another_number_is_said(
    cache, recipe_file, tmp_path, monkeypatch, said, threads
):
    class StoppedError(Exception):
        pass

    def stopping(done, *_):
        if done:
            raise StoppedError

    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    monkeypatch.setenv("OMP_NUM_THREADS", said or "")
    loaded, seen = recipe.load(recipe_file), set()
    with on_threads(2), pytest.raises(StoppedError):
        trainer.train(loaded, tmp_path / "run", progress=stopping)
    with on_threads(1):
        trainer.train(loaded, tmp_path / "run", resume=True, progress=lambda *_: seen.add(torch.get_num_threads()))
        assert torch.get_num_threads() == 1
    assert seen == {threads}


GROWING = ["resolution=[{side: 16, until: 0.3}, {side: 24, until: 0.6}, {side: 32}]", "validation.every=4"]


@pytest.fixture(scope="module")
def grown(small_cache, recipe_file, tmp_path_factory):
    """An unbroken run on images that grow, and the sides of those that it saw, batch by batch."""
    out, sides = tmp_path_factory.mktemp("grown") / "run", []
    transform = Classification.transform

    def seen(self, images, *others):
        sides.append(images.shape[-1])
        return transform(self, images, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVSS_CACHE", str(small_cache))
        patch.setattr(Classification, "transform", seen)
        trainer.train(recipe.load(recipe_file, GROWING), out)
    return out, sides


def test_images_grow_phase_by_phase_and_validation_is_at_full_size(grown):
    assert grown[1] == [16] * 4 + [24] * 4 + [32] * 4 + [32]


@pytest.mark.parametrize("stop", [2, 4, 6, 10])
def test_a_run_on_growing_images_resumes_in_any_phase(cache, grown, recipe_file, tmp_path, monkeypatch, stop):
    """Phases end after steps 4 and 8."""

    def interrupt(done, total, note):
        if done == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    loaded = recipe.load(recipe_file, GROWING)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(loaded, tmp_path / "run", progress=interrupt)
    trainer.train(loaded, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(grown[0])


RUN = """
import sys
from pathlib import Path
from advss_zoo.training import recipe, trainer
trainer.SAVE_EVERY = -1.0  # the state is written after every step, so kills land in the middle of writing it
trainer.train(recipe.load(sys.argv[1]), Path(sys.argv[2]), resume=True, progress=lambda *what: print(*what, flush=True))
"""


def test_kill_9_at_random_moments_mid_write_included(cache, unbroken, recipe_file, tmp_path):
    command = [sys.executable, "-c", RUN, str(recipe_file), str(tmp_path / "run")]
    moments = random.Random(0)
    kills = 0
    for _ in range(40):
        # As many threads as the unbroken run had: on their number the rounding depends.
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads) as process:
            assert process.stdout is not None
            if kills < 3 and process.stdout.readline():  # at least one step of progress
                time.sleep(moments.uniform(0, 0.15))
                process.send_signal(signal.SIGKILL)
                kills += 1
            else:
                process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills >= 2
    assert not list((tmp_path / "run").rglob("*.part")), "what killed writes left is swept away"
    assert weights(tmp_path / "run") == weights(unbroken)


def test_a_finished_run_is_not_trained_again(unbroken, cache, recipe_file):
    before, seen = weights(unbroken), []
    trainer.train(recipe.load(recipe_file), unbroken, resume=True, progress=lambda *what: seen.append(what))
    assert weights(unbroken) == before
    assert len(seen) == 1


def test_a_folder_that_holds_a_run_is_not_overwritten(unbroken, cache, recipe_file):
    with pytest.raises(UsageError, match="already holds"):
        trainer.train(recipe.load(recipe_file), unbroken)
    with pytest.raises(UsageError, match="another recipe"):
        trainer.train(recipe.load(recipe_file, ["epochs=9"]), unbroken, resume=True)


def test_a_run_that_could_not_begin_claims_no_folder(cache, recipe_file, tmp_path):
    with pytest.raises(AdvssError):
        trainer.train(recipe.load(recipe_file, ["parent=nothing-p3.mini"]), tmp_path / "run")
    trainer.train(recipe.load(recipe_file), tmp_path / "run")


def test_two_processes_do_not_train_in_one_folder(cache, recipe_file, tmp_path):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(UsageError, match="Another process is training in"):
        trainer.train(recipe.load(recipe_file), tmp_path / "run")


def test_what_others_keep_in_the_folder_is_left_alone(cache, recipe_file, tmp_path):
    others = [tmp_path / "run" / name for name in (".film.mkv.part", "sub/.log.jsonl.x.part")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    trainer.train(recipe.load(recipe_file, ["epochs=1"]), tmp_path / "run")
    assert all(path.exists() for path in others)


def test_images_that_have_changed_are_not_trained_on_with_an_old_state(
    unbroken, cache, recipe_file, tmp_path, monkeypatch
):
    shutil.copytree(unbroken, tmp_path / "run")
    load = examples.data.load_data
    monkeypatch.setattr(
        examples.data, "load_data", lambda *what, **options: replace(load(*what, **options), name="others-0123")
    )
    with pytest.raises(UsageError, match=r"have changed since the run started.*others-0123"):
        trainer.train(recipe.load(recipe_file), tmp_path / "run", resume=True)


def test_without_averaging_the_average_is_the_last(cache, recipe_file, tmp_path):
    trainer.train(recipe.load(recipe_file, ["epochs=1", "averaging={}"]), tmp_path / "run")
    average, last = (load_file(tmp_path / "run" / picked / "model.safetensors") for picked in ("average", "last"))
    assert all(torch.equal(average[name], last[name]) for name in last)


def test_validation_images_are_not_trained_on(cache, recipe_file, tmp_path):
    made = Trainer(recipe.load(recipe_file), tmp_path, DistributedContext())
    training, validation = (
        {image.numpy().tobytes() for image in part.images(torch.arange(len(part)))}
        for part in (made.data.training, made.data.validation)
    )
    assert len(training) == 120
    assert len(validation) == 40
    assert not training & validation


def test_a_loss_that_is_not_finite_stops_the_run(cache, recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    with pytest.raises(AdvssError, match="loss reached nan"):
        trainer.train(recipe.load(recipe_file, ["schedule.0.peak=1e30"]), tmp_path / "run")
    groups, _ = state.load(tmp_path / "run" / "state.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in groups["model"].values())


@pytest.mark.parametrize("adversary", ["{name: none}", "{name: n-fgsm}", "{name: pgd, steps: 1}"])
def test_a_run_that_diverges_says_so_and_keeps_its_best_weights(cache, recipe_file, tmp_path, monkeypatch, adversary):
    rate = trainer.learning_rate
    monkeypatch.setattr(trainer, "learning_rate", lambda s, step, *of: rate(s, step, *of) if step < 4 else 1e30)
    made = recipe.load(recipe_file, ["validation.every=1", f"adversary=[{adversary}]"])
    with pytest.raises(AdvssError, match=r"Training has diverged.*best weights so far are in .*/run/best-ra") as caught:
        trainer.train(made, tmp_path / "run")
    assert caught.value.exit_code == 1
    model, config = checkpoint.load(tmp_path / "run" / "best-ra")
    assert config.provenance.epochs == 1
    assert model(torch.rand(2, 3, 32, 32)).isfinite().all()
    assert not (tmp_path / "run" / "last").exists()


def test_a_loss_that_explodes_stops_the_run_although_it_is_finite(cache, recipe_file, tmp_path, monkeypatch):
    """Of the 6 steps before the first validation one is enough."""
    losses = iter([1, 2e4, 1, 1, 1, 1])
    monkeypatch.setattr(
        gradients.TrainingLoss, "forward", lambda self, inputs, batch: 0 * self.network(inputs).sum() + next(losses)
    )
    with pytest.raises(AdvssError, match=r"Training has diverged at step 6: the loss reached 2e\+04"):
        trainer.train(recipe.load(recipe_file), tmp_path / "run")


def test_a_full_disk_loses_nothing(cache, recipe_file, tmp_path, monkeypatch, unbroken):
    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    loaded = recipe.load(recipe_file)
    real, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(AdvssError, match="No space left"):
            trainer.train(loaded, tmp_path / "run")
    trainer.train(loaded, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(unbroken)


def test_catastrophic_overfitting_stops_the_run_and_keeps_the_best_weights(cache, recipe_file, tmp_path, monkeypatch):
    measured = iter([(0.6, 0.40), (0.7, 0.35), (0.8, 0.05)])
    monkeypatch.setattr(trainer, "accuracies", lambda *what: next(measured))
    made = recipe.load(recipe_file, ["validation.every=1"])
    with pytest.raises(AdvssError, match=r"Catastrophic overfitting at epoch 3.*40\.0% to 5\.0%") as caught:
        trainer.train(made, tmp_path / "run")
    assert caught.value.exit_code == 1
    kept = {
        picked: checkpoint.load(tmp_path / "run" / picked)[1].provenance.epochs for picked in ("best-ra", "best-ta")
    }
    assert kept == {"best-ra": 1, "best-ta": 3}


def test_robustness_at_full_size_may_fall_while_the_images_are_small(cache, recipe_file, tmp_path, monkeypatch):
    """The phases change after epochs 1.3 and 2.7."""
    measured = iter([(0.6, 0.40), (0.7, 0.05), (0.8, 0.05)])
    monkeypatch.setattr(trainer, "accuracies", lambda *what: next(measured))
    made = recipe.load(recipe_file, [*GROWING, "validation.every=1"])
    with pytest.raises(AdvssError, match=r"Catastrophic overfitting at epoch 3"):
        trainer.train(made, tmp_path / "run")


def test_a_run_is_recognised_by_what_its_recipe_says_not_by_how_it_was_written(cache, recipe_file, tmp_path):
    made = recipe.load(recipe_file, ["epochs=1"])
    trainer.train(made, tmp_path / "run")
    kept = tmp_path / "run" / "recipe.yaml"
    kept.write_text(kept.read_text().replace("accumulation: 1\n", ""))  # as an older version would have written it
    trainer.train(made, tmp_path / "run", resume=True)


def test_tensorboard_reads_the_curves(unbroken):
    accumulated = EventAccumulator(str(unbroken / "tensorboard"))
    accumulated.Reload()
    logged = [record for record in log.read(unbroken / "log.jsonl") if "validation" in record]
    for key in ("ta", "ra"):
        events = accumulated.Scalars(f"validation/{key}")
        assert [event.step for event in events] == [record["step"] for record in logged]
        assert [event.value for event in events] == pytest.approx([record["validation"][key] for record in logged])


def test_without_an_attack_in_training_robustness_may_go(cache, recipe_file, tmp_path, monkeypatch):
    measured = iter([(0.6, 0.40), (0.7, 0.01), (0.8, 0.0), (0.8, 0.0)])
    monkeypatch.setattr(trainer, "accuracies", lambda *what: next(measured))
    made = recipe.load(recipe_file, ["validation.every=1", "adversary=[{name: none}]"])
    assert trainer.train(made, tmp_path / "run").exists()


def test_weights_that_are_not_finite_are_never_kept(cache, recipe_file, tmp_path):
    with pytest.raises(AdvssError, match=r"loss reached nan|NaN or infinite"):
        trainer.train(recipe.load(recipe_file, ["schedule.0.peak=1e30", "validation.every=1"]), tmp_path / "run")
    for kept in (tmp_path / "run").glob("*/model.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(kept).values())


def test_outputs_and_classes_have_to_fit(cache, recipe_file, tmp_path):
    with pytest.raises(UsageError, match=r"100 classes.*10 outputs.*architecture.num_classes=100"):
        trainer.train(recipe.load(recipe_file, ["architecture.num_classes=10"]), tmp_path / "run")


@pytest.mark.parametrize(("mode", "forwards"), [("eval", 1), ("train", 4)])
def test_an_attack_in_training_mode_moves_the_statistics_and_one_in_evaluation_mode_does_not(
    cache, recipe_file, tmp_path, mode, forwards
):
    options = [f"attack_mode={mode}", "adversary=[{name: pgd, steps: 3}]"]
    made = Trainer(recipe.load(recipe_file, options), tmp_path, DistributedContext())
    made.train_step()
    counts = {int(n) for name, n in made.state.model.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {forwards}


def test_the_average_is_the_exponential_one_from_its_start_on(cache, recipe_file, tmp_path):
    """12 steps, averaging from a quarter of them on, of weights and statistics alike; computed by hand in float64."""
    made = Trainer(recipe.load(recipe_file, ["averaging={decay: 0.9, start: 0.25}"]), tmp_path, DistributedContext())
    names = ("trunk.conv1.weight", "trunk.bn1.running_mean", "head.linear.bias")
    by_hand = {}
    for step in range(1, 8):
        made.train_step()
        now = {name: made.state.model.state_dict()[name].double() for name in names}
        for name, value in now.items():
            by_hand[name] = value if step <= 3 else 0.9 * by_hand[name] + 0.1 * value
    for name in names:
        assert torch.allclose(made.state.averaged.state_dict()[name].double(), by_hand[name], atol=1e-6)
