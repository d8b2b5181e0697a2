"""Adversarial images that are kept: whole, in order, and never half of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from evaluation.helpers import stop_at
from safetensors.torch import load_file

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts


def interrupted(patches, pictures, out, after, **options):
    with pytest.raises(KeyboardInterrupt):
        evaluate(patches, pictures, "pgd2", out=out, progress=stop_at(after), **options)


def test_what_is_kept_is_what_was_judged(patches, pictures, tmp_path):
    chosen = pictures.take(np.arange(149, -1, -1))
    evaluate(patches, chosen, "pgd2", out=tmp_path, save_adversarial=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("result.json", "verdicts.npz", "adversarial.safetensors", "adversarial.pt")
    }
    kept, verdicts = load_file(tmp_path / "adversarial.safetensors"), Verdicts.read(tmp_path / "verdicts.npz")
    x, y = torch.from_numpy(chosen.images).float() / 255, torch.from_numpy(chosen.labels)
    made = parse("pgd2").attack(patches, x, y, torch.from_numpy(chosen.index))
    mistaken = patches(x).argmax(dim=1) != y  # not attacked
    assert torch.equal(kept["x_adv"], torch.where(mistaken.view(-1, 1, 1, 1), x, made))
    assert kept["y_adv"].tolist() == verdicts.attacked_prediction.tolist()
    assert kept["label"].tolist() == chosen.labels.tolist()
    assert kept["index"].tolist() == list(range(149, -1, -1))


def test_robustbench_gets_a_tensor_as_large_as_the_data(patches, pictures, tmp_path):
    evaluate(patches, pictures, "pgd2", out=tmp_path, save_adversarial=True)
    x_adv = torch.load(tmp_path / "adversarial.pt", weights_only=True)
    assert (x_adv.shape, x_adv.dtype) == (pictures.images.shape, torch.float32)
    assert torch.equal(x_adv, load_file(tmp_path / "adversarial.safetensors")["x_adv"])


@pytest.mark.parametrize("after", [64, 128])
def test_an_interrupted_run_ends_with_the_same_files(after, patches, pictures, tmp_path):
    evaluate(patches, pictures, "pgd2", out=tmp_path / "whole", save_adversarial=True)
    interrupted(patches, pictures, tmp_path / "cut", after, save_adversarial=True)
    evaluate(patches, pictures, "pgd2", out=tmp_path / "cut", save_adversarial=True)
    for name in ("adversarial.safetensors", "adversarial.pt", "verdicts.npz"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_images_that_were_not_kept_are_missed_before_the_work_goes_on(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64)
    with pytest.raises(UsageError, match="unfinished evaluation without adversarial images"):
        evaluate(patches, pictures, "pgd2", out=tmp_path, save_adversarial=True)
    evaluate(patches, pictures, "pgd2", out=tmp_path)
    with pytest.raises(UsageError, match="finished evaluation without adversarial images"):
        evaluate(patches, pictures, "pgd2", out=tmp_path, save_adversarial=True)


def test_a_run_that_stopped_keeping_them_is_found(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64, save_adversarial=True)
    interrupted(patches, pictures, tmp_path, 128)
    with pytest.raises(UsageError, match="unfinished evaluation without"):
        evaluate(patches, pictures, "pgd2", out=tmp_path, save_adversarial=True)


def test_clean_images_are_not_kept(patches, pictures, tmp_path):
    first = evaluate(patches, pictures, "clean", out=tmp_path, save_adversarial=True)
    assert evaluate(patches, pictures, "clean", out=tmp_path, save_adversarial=True) == first
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "verdicts.npz"}


def test_they_need_a_folder(patches, pictures):
    with pytest.raises(UsageError, match="needs a folder"):
        evaluate(patches, pictures, "pgd2", save_adversarial=True)


def test_they_are_in_one_file_from_the_first_pass_on(patches, pictures, tmp_path):
    interrupted(patches, pictures, tmp_path, 64, save_adversarial=True)
    (file,) = tmp_path.glob("unfinished-*/adversarial.safetensors")
    assert load_file(file)["y_adv"][64:].tolist() == [-1] * 86
    assert file.stat().st_size > pictures.images.size * 4


def test_memory_does_not_grow_with_what_is_kept(patches, tmp_path):
    def peak(images):
        data = np.random.default_rng(0).random((images, 3, 32, 32), np.float32), np.zeros(images, np.int64)
        tracemalloc.start()
        evaluate(patches, data, "pgd1", out=tmp_path / str(images), save_adversarial=True)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found - data[0].nbytes  # which an evaluation of arrays copies

    evaluate(patches, (torch.rand(8, 3, 32, 32), [0] * 8), "pgd1", out=tmp_path, save_adversarial=True)  # imports
    few, many = peak(64), peak(640)
    assert many - few < 640 * 3 * 32 * 32 * 4 / 4, "a quarter of the images"
