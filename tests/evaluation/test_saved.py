"""Adversarial images that were kept, on other models: found by their positions, and held to what they were made for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation.conftest import patches as made
from safetensors.torch import load_file, save_file

from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.saved import Saved
from advss_zoo.evaluation.verdicts import Verdicts


@pytest.fixture(scope="module")
def kept(pictures, tmp_path_factory):
    """What PGD makes of 150 images on `patches`."""
    folder = tmp_path_factory.mktemp("kept")
    evaluate(made(), pictures, parse("pgd3", eps=1 / 255), out=folder, save_adversarial=True)
    return folder


def test_the_model_they_were_made_on_says_what_it_said(kept, patches, pictures, tmp_path):
    protocol = Saved.read(kept / "adversarial.safetensors")
    result = evaluate(patches, pictures, protocol, out=tmp_path)
    then, now = Verdicts.read(kept / "verdicts.npz"), Verdicts.read(tmp_path / "verdicts.npz")
    assert np.array_equal(now.clean_prediction, then.clean_prediction)
    assert np.array_equal(now.attacked_prediction, then.attacked_prediction)
    assert 0 < result.ra < result.ta
    assert result.protocol.label == "saved pgd3 (linf, eps 1/255) on Sequential"
    assert (result.protocol.norm, result.protocol.eps) == ("linf", 1 / 255)
    assert len(result.protocol.file_sha256) == 64


def test_another_model_is_given_the_very_images(kept, pictures):
    other = made(seed=1)
    chosen = pictures.take(np.arange(99, 19, -1))
    found = evaluate(other, chosen, Saved.read(kept / "adversarial.safetensors"))
    file = load_file(kept / "adversarial.safetensors")
    rows = torch.arange(99, 19, -1)
    with torch.no_grad():
        clean = other(torch.from_numpy(chosen.images).float() / 255).argmax(dim=1)
        attacked = other(file["x_adv"][rows]).argmax(dim=1)
    labels = torch.from_numpy(chosen.labels)
    assert found.ra == pytest.approx(float(((clean == labels) & (attacked == labels)).float().mean()))


def test_other_images_are_not_taken_for_these(kept, patches, pictures):
    protocol = Saved.read(kept / "adversarial.safetensors")
    turned = pictures.take(np.arange(149, -1, -1))
    moved = replace(pictures, images=turned.images)
    with pytest.raises(AdvssError, match="perturbation of size"):
        evaluate(patches, moved, protocol)
    relabelled = replace(pictures, labels=(pictures.labels + 1) % 10)
    with pytest.raises(DataError, match=r"labels in .* differ from those of the data"):
        evaluate(patches, relabelled, protocol)
    more = replace(pictures, index=pictures.index + 1)
    with pytest.raises(UsageError, match="but not image 150 of the data"):
        evaluate(patches, more.take([149]), protocol)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "result.json").unlink(), "not in the same folder"),
        (lambda folder: (folder / "verdicts.npz").unlink(), "verdicts.npz"),
        (lambda folder: (folder / "adversarial.safetensors").write_bytes(b"text"), "does not hold adversarial images"),
        (lambda folder: save_file({"x_adv": torch.rand(2, 3, 8, 8)}, folder / "adversarial.safetensors"), "label"),
        (
            lambda folder: save_file(
                {"x_adv": torch.rand(2, 3, 8, 8), "label": torch.zeros(1), "index": torch.arange(2)},
                folder / "adversarial.safetensors",
            ),
            "labels or positions do not match",
        ),
        (
            lambda folder: (folder / "result.json").write_text(
                json.dumps({**json.loads((folder / "result.json").read_text()), "ra": 1.0})
            ),
            "but its verdicts give",
        ),
    ],
)
def test_what_is_damaged_is_a_sentence(spoil, says, kept, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(kept, folder)
    spoil(folder)
    with pytest.raises(AdvssError, match=says):
        Saved.read(folder / "adversarial.safetensors")


def test_images_of_another_size(kept, pictures, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(kept, folder)
    tensors = load_file(folder / "adversarial.safetensors")
    save_file(tensors | {"x_adv": tensors["x_adv"][:, :, ::2, ::2].contiguous()}, folder / "adversarial.safetensors")
    with pytest.raises(DataError, match="have shape 3x16x16, those of the data"):
        evaluate(made(), pictures, Saved.read(folder / "adversarial.safetensors"))
