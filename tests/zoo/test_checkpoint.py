"""Checkpoints come back as they were saved, or are refused with the reason and the name of what is wrong."""

from __future__ import annotations

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from advss_zoo.errors import CheckpointError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.zoo import checkpoint
from advss_zoo.zoo.open import open_model

ARCHITECTURE = ResNetV2Architecture(depth=18, width=4, num_classes=3)
KEY = "trunk.layer1.0.conv1.weight"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ResNetV2(ARCHITECTURE).eval()


@pytest.fixture
def folder(tmp_path, model):
    config = checkpoint.Config(
        name="tiny", tag="test", scenario="p1f3", architecture=ARCHITECTURE, classes=("cat", "dog", "emu")
    )
    checkpoint.save(tmp_path, model.state_dict(), config)
    return tmp_path


def rewrite(folder, change, keep_hash=False):
    """Change the tensors of a checkpoint and, as an honest writer would, the sha256 in its configuration."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    config = json.loads((folder / "config.json").read_text())
    config["sha256"] = None
    (folder / "config.json").write_text(json.dumps(config))


def test_the_model_comes_back_in_half_precision_weights_and_full_statistics(folder, model):
    found, config = checkpoint.load(folder)
    assert not found.training
    assert config.full_name == "tiny.test"
    for name, tensor in model.state_dict().items():
        expected = tensor.half().to(tensor.dtype) if tensor.ndim >= 2 else tensor
        assert torch.equal(found.state_dict()[name], expected), name


def test_what_is_saved_again_is_the_same_file(folder, tmp_path):
    found, config = checkpoint.load(folder)
    again = checkpoint.save(tmp_path / "again", found.state_dict(), config)
    assert again.sha256 == config.sha256


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop(KEY), rf"missing: {KEY}"),
        (lambda t: t.update({"extra.weight": torch.ones(2)}), r"unexpected: extra\.weight"),
        (lambda t: t.update({KEY: t[KEY][:2].clone()}), rf"misshapen: {KEY} \(2, 4, 3, 3\) instead of \(4, 4, 3, 3\)"),
        (lambda t: t.update({KEY: t[KEY] * float("nan")}), rf"not finite: {KEY}"),
        (lambda t: [t.pop(name) for name in list(t) if "layer1" in name], "and 21 more"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder, change, complaint):
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=complaint):
        checkpoint.load(folder)


def whole(content):
    return content


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:1000],
        lambda content: content[:-1],
        lambda content: struct.pack("<Q", 2**60) + content[8:],
        lambda content: pickle.dumps({"state_dict": {}}),
        lambda content: b"PK\x03\x04" + content,
        lambda content: b"<!doctype html><title>Quota exceeded</title>",
    ],
    ids=["empty", "truncated", "one byte short", "header of 2^60 bytes", "pickle", "zip", "html"],
)
@pytest.mark.parametrize("hash_known", [True, False])
def test_files_that_are_no_safetensors(folder, damage, hash_known):
    path = folder / "model.safetensors"
    if not hash_known:
        rewrite(folder, lambda tensors: None)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="sha256" if hash_known else "not a valid safetensors file"):
        checkpoint.load(folder)


def test_a_pickle_is_told_why_it_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="are not loaded"):
        open_model(path)


def test_one_flipped_bit_is_noticed(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="changed or damaged"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classes": ["cat", "dog"]}, "2 classes are named but the model has 3"),
        ({"architecture": {"depth": 18, "width": 10**9}}, "width"),
        ({"surprise": 1}, "surprise"),
        ({"format": 99}, "format"),
    ],
)
def test_configurations_that_describe_no_model(folder, change, complaint):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=complaint):
        checkpoint.load(folder)


def test_a_configuration_cannot_make_us_take_memory_its_weights_do_not_fill(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["architecture"] |= {"depth": 50, "width": 1024}
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="misshapen"):
        checkpoint.load(folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_half_a_checkpoint(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        checkpoint.load(folder)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        open_model(tmp_path / "nowhere")


def test_a_bare_weights_file_needs_its_configuration(folder):
    bare = folder / "other.safetensors"
    bare.write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="contains weights only"):
        open_model(bare)
    assert open_model(folder / "model.safetensors").name == "tiny.test"


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint16])
def test_numbers_of_another_kind_are_refused(folder, kind):
    rewrite(folder, lambda tensors: tensors.update({KEY: torch.ones(tensors[KEY].shape).to(kind)}))
    with pytest.raises(CheckpointError, match=f"of the wrong type: {KEY} {kind}"):
        checkpoint.load(folder)


def test_numbers_that_are_too_large_for_single_precision_are_refused(folder):
    rewrite(folder, lambda tensors: tensors.update({KEY: torch.full(tensors[KEY].shape, 1e300, dtype=torch.float64)}))
    with pytest.raises(CheckpointError, match=f"not finite: {KEY}"):
        checkpoint.load(folder)


def test_numbers_whose_sum_is_too_large_are_taken(folder):
    rewrite(folder, lambda tensors: tensors.update({KEY: torch.full(tensors[KEY].shape, 3e38)}))
    assert checkpoint.load(folder)


def test_a_header_that_would_take_minutes_is_not_read(folder):
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 50_000_000) + b" " * 50_000_000)
    with pytest.raises(CheckpointError, match="header size 50,000,000 exceeds the limit"):
        checkpoint.read_weights(path)


@pytest.mark.parametrize("document", ["[]", "5", "null", '"ensemble"', '{"kind": "ensemble"}', '{"kind": []}'])
def test_any_document_for_a_configuration_is_a_sentence(folder, document):
    (folder / "config.json").write_text(document)
    with pytest.raises(
        CheckpointError, match=r"config.json does not describe an ensemble|does not describe a checkpoint"
    ):
        open_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 101},
        {"architecture": {"std": [0.2, 0.2, 0]}},
        {"objective": {"name": "jigsaw", "permutation_seed": 2**32}},
        {"classes": list(range(10_000))},
    ],
)
def test_a_configuration_that_would_fail_later(folder, change):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match="does not describe a checkpoint") as refused:
        checkpoint.read_config(folder)
    assert len(str(refused.value)) < 10_000
