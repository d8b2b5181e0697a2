"""Files of the paper's authors compute as checkpoints what they computed as files, or are refused with a tensor's name.

The networks here are written after the paper's description and the names in the authors' files, not with our modules.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, relu

from advss_zoo.data.catalogue import CIFAR10, CIFAR100
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.files import read_json, sha256_of
from advss_zoo.models.architecture import IMAGENET_MEAN, IMAGENET_STD
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.joint import Joint
from advss_zoo.objectives.oneshot import OneShot
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie
from advss_zoo.training import parents
from advss_zoo.zoo import checkpoint, imports, names

NAME = names.parse("someone")
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


# --- the authors' networks ----------------------------------------------------------------------------------------


class Normalize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x):
        return (x - self.mean[None, :, None, None]) / self.std[None, :, None, None]


class Block(nn.Module):
    """Batch norm, ReLU, convolution, two or three times; `first` is the number of the first batch norm."""

    def __init__(self, inputs, width, stride, *, depth, v0, first):
        super().__init__()
        kernels = ((1, 1), (3, stride), (1, 1)) if depth == 50 else ((3, stride), (3, 1))
        channels = (inputs, width, width, 4 * width) if depth == 50 else (inputs, width, width)
        self.pairs = []
        for number, (kernel, step) in enumerate(kernels):
            conv = nn.Conv2d(channels[number], channels[number + 1], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{number + 1}", conv)
            self.add_module(f"bn{number + first}", nn.BatchNorm2d(channels[number]))
            self.pairs.append((f"bn{number + first}", f"conv{number + 1}"))
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != channels[-1]:
            projection = nn.Conv2d(inputs, channels[-1], 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, *([] if v0 else [nn.BatchNorm2d(channels[-1])]))

    def forward(self, x):
        out = preactivated = None
        for norm, conv in self.pairs:
            activated = relu(getattr(self, norm)(x if out is None else out))
            preactivated = activated if preactivated is None else preactivated
            out = getattr(self, conv)(activated)
        return out + (self.shortcut(preactivated) if len(self.shortcut) else x)


class Net(nn.Module):
    """The authors' network; v0 is that of their first commit, `trunk_only` the network P of Selfie."""

    def __init__(self, outputs=10, *, depth=50, width=2, v0=False, first=0, trunk_only=False):
        super().__init__()
        self.options = {"depth": depth, "v0": v0, "first": first}
        self.inputs = width
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.Identity() if v0 else nn.BatchNorm2d(width)
        self.v0 = v0
        for number, blocks in enumerate(BLOCKS[depth][: 3 if trunk_only else 4]):
            self.add_module(f"layer{number + 1}", self.stage(width * 2**number, blocks, 1 if number == 0 else 2))
        if not trunk_only:
            self.linear = nn.Linear(self.inputs, outputs)

    def stage(self, width, blocks, stride):
        layers = []
        for position in range(blocks):
            layers.append(Block(self.inputs, width, stride if position == 0 else 1, **self.options))
            self.inputs = width * (4 if self.options["depth"] == 50 else 1)
        return nn.Sequential(*layers)

    def features(self, x):
        x = self.conv1(x) if self.v0 else relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x):
        return self.linear(avg_pool2d(self.layer4(self.features(x)), 4).flatten(1))


def shaken(module):
    """Weights as they come, batch norm as after some training."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
            layer.num_batches_tracked.fill_(1234)
    return module.eval()


# --- their files --------------------------------------------------------------------------------------------------


@dataclass
class File:
    """What goes into a file, the part of it that holds the weights, and the function that they compute."""

    content: dict
    weights: dict
    expected: Callable
    prefix: str = "1."
    task: str | None = None
    classifier: bool = False
    dropped: int = 0
    attention: dict | None = None  # likewise a part of it

    @classmethod
    def wrapped(cls, weights, expected, **facts):
        return cls({"epoch": 7, "state_dict": weights, "best_prec1": 50.5}, weights, expected, **facts)

    @classmethod
    def bare(cls, weights, expected, **facts):
        return cls(weights, weights, expected, **facts)


def prefixed(weights, prefix):
    return {prefix + key: value for key, value in weights.items()}


def sequence(net, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    return nn.Sequential(Normalize(mean, std), net).eval()


def pretext(outputs, task, make=File.wrapped, wrapper="", **options):
    net = shaken(Net(outputs, **options))
    model = sequence(net)
    head = sum(key.startswith(("layer4", "linear")) for key in net.state_dict())
    weights = prefixed(model.state_dict(), wrapper)
    return make(weights, lambda x: net.features(model[0](x)), prefix=f"{wrapper}1.", task=task, dropped=head)


class Attention(nn.Module):
    """The part of Selfie's attention pooling that has weights, in the authors' names."""

    class Layer(nn.Module):
        def __init__(self, channels, width):
            super().__init__()
            self.slf_attn = nn.ModuleDict(
                {name: nn.Linear(channels, channels) for name in ("w_qs", "w_ks", "w_vs", "fc")}
            )
            self.slf_attn["layer_norm"] = nn.LayerNorm(channels)
            self.pos_ffn = nn.ModuleDict({"w_1": nn.Conv1d(channels, width, 1), "w_2": nn.Conv1d(width, channels, 1)})
            self.pos_ffn["layer_norm"] = nn.LayerNorm(channels)

    def __init__(self, channels, layers=3, width=5):
        super().__init__()
        self.row_embeddings = nn.Parameter(torch.randn(4, channels))
        self.column_embeddings = nn.Parameter(torch.zeros(4, channels))
        self.u0 = nn.Parameter(torch.zeros(1, 1, channels))
        stack = nn.ModuleList(self.Layer(channels, width) for _ in range(layers))
        self.at_pool = nn.ModuleDict({"layer_stack": stack})


def selfie(make=None, wrapper="", **options):
    net = shaken(Net(trunk_only=True, **options))
    model = sequence(net)
    weights = prefixed(model.state_dict(), wrapper)
    heads = dict(Attention(net.inputs).state_dict())
    rate = np.float64(0.1) * 0.5  # what a cosine schedule in numpy leaves behind
    optimizer = {"state": {0: {"momentum_buffer": torch.rand(3)}}, "param_groups": [{"lr": rate, "params": [0]}]}
    content = {"epoch": 3, "P_state": weights, "selfie_state": heads, "optimizer": optimizer, "best_prec1": rate}
    file = File(content, weights, lambda x: net.features(model[0](x)), prefix=f"{wrapper}1.", task="selfie")
    file.attention, file.dropped = heads, len(heads)
    return File.bare(weights, file.expected, prefix=file.prefix) if make else file


def ensemble(make=None, wrapper="", **options):
    net = shaken(Net(trunk_only=True, **options))
    if not net.v0:
        net.bn1 = nn.BatchNorm2d(net.conv1.out_channels).eval()  # as fine-tuning has it, where pretraining had none
    names = {"conv1": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    weights = {
        f"blocks.{number}.{key}": value
        for name, number in names.items()
        for key, value in getattr(net, name).state_dict().items()
    }
    for number, task in enumerate(("rotation", "jigsaw")):
        branch = shaken(Net((4, 31)[number], **options))
        weights |= prefixed(branch.layer4.state_dict(), f"layer4_{task}.")
        weights |= prefixed(branch.linear.state_dict(), f"fc_{task}.")
    dropped = sum(not key.startswith("blocks.") for key in weights)
    weights = prefixed(weights, wrapper)
    normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD)

    def expected(x):
        return net.features(normalize(x))

    if make:
        return File.bare(weights, expected, prefix=wrapper, dropped=dropped)
    file = File.wrapped(weights, expected, prefix=wrapper)
    file.attention = dict(Attention(net.inputs).state_dict())
    file.content["selfie_state"] = file.attention
    file.dropped = dropped + len(file.attention)
    return file


def classifier(make=File.wrapped, wrapper="", alone=False, constants=(IMAGENET_MEAN, IMAGENET_STD), **options):
    net = shaken(Net(**options))
    model = sequence(net, *constants)
    weights = prefixed((net if alone else model).state_dict(), wrapper)
    return make(weights, model, prefix=wrapper + ("" if alone else "1."), classifier=True)


def own(network):
    network = shaken(network)
    weights = dict(network.state_dict())
    return File.bare(weights, network, prefix="trunk.", classifier=True)


def own_trunk(network):
    network = shaken(network)
    weights = dict(network.state_dict())
    head = sum(key.startswith("head.") for key in weights)
    task = "jigsaw" if "head.permutations" in weights else "rotation" if "head.linear.bias" in weights else None
    return File.bare(weights, network.features, prefix="trunk.", task=task, dropped=head)


SMALL = ResNetV2Architecture(depth=18, width=4)
FILES = {
    "rotation": lambda **options: pretext(4, "rotation", **options),
    "jigsaw": lambda **options: pretext(31, "jigsaw", **options),
    "rotation, bare": lambda **options: pretext(4, "rotation", make=File.bare, **options),
    "jigsaw, parallel": lambda **options: pretext(31, "jigsaw", wrapper="module.", **options),
    "selfie": selfie,
    "selfie, bare": lambda **options: selfie(make=File.bare, **options),
    "selfie, parallel": lambda **options: selfie(wrapper="module.", **options),
    "ensemble": ensemble,
    "ensemble, bare": lambda **options: ensemble(make=File.bare, **options),
    "ensemble, parallel": lambda **options: ensemble(wrapper="module.", **options),
    "classifier": classifier,
    "classifier, bare": lambda **options: classifier(make=File.bare, **options),
    "classifier, parallel": lambda **options: classifier(wrapper="module.", **options),
    "classifier, no prefix": lambda **options: classifier(alone=True, **options),
    "classifier, bare, no prefix": lambda **options: classifier(make=File.bare, alone=True, **options),
}
OWN = {
    "own classifier": lambda: own(ResNetV2(SMALL)),
    "own v0": lambda: own(ResNetV2(ResNetV2Architecture(width=3, stem_bn=False, shortcut_bn=False, num_classes=7))),
    "own for 224": lambda: own(ResNetV2(ResNetV2Architecture(width=2, depth=18, stem="imagenet"))),
    "own one-shot": lambda: own_oneshot(),
    "own rotation": lambda: own_trunk(Rotation().build(SMALL)),
    "own jigsaw": lambda: own_trunk(Jigsaw(permutations=9).build(SMALL)),
    "own selfie": lambda: own_trunk(Selfie(transformer="mini").build(SMALL)),
    "own joint": lambda: own_trunk(Joint(tasks=(Selfie(transformer="mini"), Jigsaw(), Rotation())).build(SMALL)),
}


def own_oneshot():
    file = own(OneShot().build(SMALL))
    file.dropped = 2
    return file


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def imported(tmp_path):
    def imported(content, classes=None, **options):
        torch.save(content, tmp_path / "file.pt", **options)
        return imports.import_file(tmp_path / "file.pt", tmp_path / "out", NAME, classes)

    return imported


def check(file, found, folder, size=32):
    model, config = checkpoint.load(folder)
    images = torch.rand(2, 3, size, size)
    compute = model if file.classifier else model.features
    with torch.no_grad():
        expected = file.expected(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(compute(images), expected, rtol=0, atol=1e-5)
    assert config.kind == ("classifier" if file.classifier else "trunk")
    assert config.task == file.task
    assert (config.objective is None) == (not file.classifier)
    assert sum(found.dropped.values()) == file.dropped
    assert found.copied + len(found.initialised) == len(model.state_dict())
    return config


# --- what comes out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", FILES)
def test_a_checkpoint_computes_what_the_authors_file_did(layout, imported, tmp_path):
    depth, whole, trunk = (50, 320, 258) if layout.isalpha() else (18, 122, 90)  # the wrappers are those of any depth
    file = FILES[layout](depth=depth)
    found = imported(file.content)
    config = check(file, found, tmp_path / "out")
    assert config.architecture.model_copy(update={"num_classes": 10}) == ResNetV2Architecture(depth=depth, width=2)
    fresh = 5 if "ensemble" in layout else 0
    assert (found.copied, len(found.initialised)) == ((whole if file.classifier else trunk) - fresh, fresh)


@pytest.mark.parametrize("layout", ["rotation", "selfie", "ensemble", "classifier"])
def test_the_authors_first_network(layout, imported, tmp_path):
    file = FILES[layout](v0=True)
    found = imported(file.content)
    architecture = check(file, found, tmp_path / "out").architecture
    assert (architecture.stem_bn, architecture.shortcut_bn) == (False, False)
    lacks = 5 * 4 if layout != "classifier" else 5 * 5  # batch norms, in the stem and in projection shortcuts
    assert (found.copied, found.initialised) == ((320 if file.classifier else 258) - lacks, ())


@pytest.mark.parametrize("layout", OWN)
def test_plain_state_dicts_of_our_own(layout, imported, tmp_path):
    file = OWN[layout]()
    check(file, imported(file.content), tmp_path / "out", size=64 if "224" in layout else 32)


@pytest.mark.parametrize("layout", ["selfie", "ensemble", "classifier"])
@pytest.mark.parametrize("options", [{"first": 1}, {"depth": 18}, {"depth": 18, "first": 1, "width": 3}], ids=str)
def test_other_members_of_the_family(layout, options, imported, tmp_path):
    file = FILES[layout](**options)
    config = check(file, imported(file.content), tmp_path / "out")
    assert config.architecture.depth == options.get("depth", 50)
    assert config.architecture.width == options.get("width", 2)


@pytest.mark.nightly
@pytest.mark.parametrize(("layout", "copied"), [("rotation", 258), ("ensemble", 253), ("classifier", 320)])
def test_the_papers_network(layout, copied, imported, tmp_path):
    file = FILES[layout](width=64)
    found = imported(file.content)
    assert check(file, found, tmp_path / "out").architecture == ResNetV2Architecture(
        num_classes=4 if layout == "rotation" else 10
    )
    assert found.copied == copied


def test_fine_tuning_begins_with_the_trunk(imported, tmp_path):
    file = pretext(4, "rotation")
    imported(file.content)
    network = ResNetV2(ResNetV2Architecture(width=2)).eval()
    inherited = parents.inherit_trunk(network, tmp_path / "out")
    assert inherited.tensors == 258
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(network.features(images), file.expected(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_files_of_both_formats_of_torch(zipped, imported, tmp_path):
    file = selfie(depth=18)
    found = imported(file.content, _use_new_zipfile_serialization=zipped)
    check(file, found, tmp_path / "out")
    assert found.ignored == ("epoch", "optimizer", "best_prec1")
    assert found.dropped == {"selfie_state": file.dropped}


def test_numpy_scalars_of_numpy_1(tmp_path):
    file = selfie(depth=18)
    torch.save(file.content, tmp_path / "new.pt", _use_new_zipfile_serialization=False)
    old = (tmp_path / "new.pt").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old.pt").write_bytes(old)
    imports.import_file(tmp_path / "old.pt", tmp_path / "out", NAME)


def test_weights_that_share_memory(imported, tmp_path):
    file = classifier(depth=18)
    everything = torch.cat([value.flatten().float() for value in file.weights.values()])
    for key, part in zip(file.weights, everything.split([v.numel() for v in file.weights.values()]), strict=True):
        file.weights[key] = part.view(file.weights[key].shape)
    check(file, imported(file.content), tmp_path / "out")


def test_the_files_own_normalisation(imported, tmp_path):
    constants = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)
    file = classifier(constants=constants, depth=18)
    config = check(file, imported(file.content), tmp_path / "out")
    assert (config.architecture.mean, config.architecture.std) == constants


@pytest.mark.parametrize("red", [0.0, -0.2023])
def test_a_std_that_is_not_positive_is_refused(red, imported, tmp_path):
    file = classifier(constants=(IMAGENET_MEAN, (red, 0.1994, 0.201)), depth=18)
    with pytest.raises(CheckpointError, match=r"0\.std of the normalisation must be positive, got \(-?0\."):
        imported(file.content)
    assert not (tmp_path / "out").exists()


def test_a_record_of_where_it_is_from(imported, tmp_path):
    imported(ensemble(depth=18).content)
    record = read_json(tmp_path / "out" / "import.json")
    assert record["file"] == "file.pt"
    assert record["sha256"] == sha256_of(tmp_path / "file.pt")
    assert record["layout"] == "ensemble pretraining"
    assert {"layer4_rotation", "layer4_jigsaw", "fc_rotation", "fc_jigsaw", "selfie_state"} == {*record["dropped"]}
    assert {name.rpartition(".")[0] for name in record["initialised"]} == {"trunk.bn1"}


@pytest.mark.parametrize(
    ("outputs", "given", "classes"),
    [
        (10, None, CIFAR10.classes),
        (100, None, CIFAR100.classes),
        (3, None, ("0", "1", "2")),
        (3, ("cat", "dog", "emu"), ("cat", "dog", "emu")),
        (4, ("cat", "dog", "emu", "fox"), ("cat", "dog", "emu", "fox")),  # with names they are no angles
    ],
)
def test_classes(outputs, given, classes, imported, tmp_path):
    file = classifier(outputs=outputs, depth=18)
    check(file, imported(file.content, given), tmp_path / "out")
    assert checkpoint.read_config(tmp_path / "out").classes == classes


# --- what others wrap around it -----------------------------------------------------------------------------------


WRAPPED = {  # what a file holds, of the weights and of their average
    "compiled": (lambda weights, average: prefixed(weights, "_orig_mod."), False),
    "compiled and parallel": (lambda weights, average: {"model": prefixed(weights, "module._orig_mod.")}, False),
    "model_state_dict": (lambda weights, average: {"epoch": 3, "model_state_dict": weights}, False),
    "net": (lambda weights, average: {"net": prefixed(weights, "module."), "acc": 93.5}, False),
    "model in state_dict": (lambda weights, average: {"state_dict": {"model": weights}}, False),
    "lightning": (
        lambda weights, average: {"state_dict": prefixed(weights, "model."), "pytorch-lightning_version": "2.4"},
        False,
    ),
    "lightning, compiled": (lambda weights, average: {"state_dict": prefixed(weights, "model._orig_mod.")}, False),
    "called by a person": (lambda weights, average: {"state_dict": prefixed(weights, "classifier.")}, False),
    "called by a person, in a framework": (
        lambda weights, average: prefixed(weights, "_forward_module.student.resnet."),
        False,
    ),
    "called by a person, both": (
        lambda weights, average: {"model": prefixed(weights, "encoder."), "ema": prefixed(average, "encoder.")},
        True,
    ),
    "AveragedModel": (lambda weights, average: prefixed(weights, "module.") | {"n_averaged": torch.tensor(7)}, False),
    "state_dict_ema": (lambda weights, average: {"state_dict": weights, "state_dict_ema": average}, True),
    "ema, parallel": (lambda weights, average: {"model": prefixed(weights, "module."), "ema": average}, True),
    "ema alone": (lambda weights, average: {"ema": {"module": average, "step": 3}, "optimizer": {}}, True),
    "ema of parameters": (
        lambda weights, average: {
            "model_state_dict": weights,
            "ema_shadow": {key: value for key, value in average.items() if "running" not in key},
        },
        True,
    ),
    "ema among the weights": (
        lambda weights, average: {"state_dict": prefixed(weights, "model.") | prefixed(average, "ema_model.")},
        True,
    ),
}


@pytest.mark.parametrize("layout", WRAPPED)
@pytest.mark.parametrize("alone", [True, False], ids=["network", "with normalisation"])
def test_state_dicts_in_the_usual_wrappers(layout, alone, imported, tmp_path):
    make, averaged = WRAPPED[layout]
    file = classifier(make=File.bare, depth=18, alone=alone)
    worse = {key: value + 1 if key.endswith("weight") else value for key, value in file.weights.items()}
    found = imported(make(worse, file.weights) if averaged else make(file.weights, worse))
    assert found.averaged == averaged
    if not alone:
        check(file, found, tmp_path / "out")
    assert found.copied == len(file.weights) - (0 if alone else 2)


@pytest.mark.parametrize("layout", ["classifier", "rotation", "ensemble"])
def test_files_without_the_counters_of_batch_norm(layout, imported, tmp_path):
    file = FILES[layout](depth=18)
    counters = [key for key in file.weights if key.endswith("num_batches_tracked")]
    kept = [key for key in counters if "layer4" not in key and "bn1" in key]
    for key in counters:
        del file.weights[key]
    found = imported(file.content)
    assert 0 < len(kept) <= found.untracked <= len(counters)
    model, _ = checkpoint.load(tmp_path / "out")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        compute = model if file.classifier else model.features
        torch.testing.assert_close(compute(images), file.expected(images), rtol=0, atol=1e-5)
    assert found.copied + found.untracked + len(found.initialised) == len(model.state_dict())


@pytest.mark.parametrize("layout", ["classifier", "own classifier"])
def test_safetensors(layout, tmp_path):
    file = (FILES | OWN)[layout]() if layout in OWN else FILES[layout](depth=18)
    for name in ("a.safetensors", "a.pt"):
        safetensors.torch.save_file(file.weights, tmp_path / name)
        found = imports.import_file(tmp_path / name, tmp_path / name[1:] / "out", NAME)
        check(file, found, tmp_path / name[1:] / "out")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.pt").read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="is not a valid safetensors file"):
        imports.import_file(tmp_path / "a.safetensors", tmp_path / "cut", NAME)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["traced", "scripted", "exported"])
def test_programs_of_torch_are_told_how_to_save_their_weights(kind, tmp_path):
    net, path = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).eval(), tmp_path / "program.pt2"
    if kind == "exported":
        torch.export.save(torch.export.export(net, (torch.rand(1, 3),)), path)
    else:
        torch.jit.save(torch.jit.script(net) if kind == "scripted" else torch.jit.trace(net, torch.rand(1, 3)), path)
    says = "torch.export program" if kind == "exported" else "TorchScript program"
    with pytest.raises(CheckpointError, match=rf"is a {says}, .* torch\.save\(torch\.\w+\.load\(.*state_dict"):
        imports.import_file(path, tmp_path / "out", NAME)


def missing(weights, key):
    del weights[key]
    return rf"missing: {key}\."


def renamed(weights, key):
    weights[f"{key}s"] = weights.pop(key)
    return rf"missing: {key}; unexpected: {key}s\."


def misshapen(weights, key):
    weights[key] = torch.cat([weights[key], weights[key]])
    return rf"misshapen: .*{key} \("


def not_a_number(weights, key):
    weights[key] = weights[key].clone()
    weights[key].view(-1)[-1] = float("nan")
    return rf"not finite: {key}\."


@pytest.mark.parametrize("layout", FILES)
@pytest.mark.parametrize("fault", [missing, renamed, misshapen, not_a_number])
def test_a_tensor_that_is_not_as_it_should_be_is_named(layout, fault, imported, tmp_path):
    file = FILES[layout](depth=18)
    heads = tuple(file.prefix + head for head in ("layer4_", "fc_"))
    keys = [key for key, value in file.weights.items() if value.ndim and not key.startswith(heads)]
    complaint = fault(file.weights, Random(f"{layout} {fault.__name__}").choice(keys))
    with pytest.raises(CheckpointError, match=complaint):
        imported(file.content)
    assert not (tmp_path / "out").exists()


def test_the_attention_may_be_of_any_depth_and_width_and_wrapped(imported, tmp_path):
    file = selfie(depth=18)
    channels = file.attention["u0"].shape[2]
    file.attention.clear()
    file.attention |= prefixed(Attention(channels, layers=13, width=7).state_dict(), "module.")
    file.dropped = 13 * 16 + 3
    check(file, imported(file.content), tmp_path / "out")


def test_the_trunk_of_ensemble_pretraining_alone(imported, tmp_path):
    file = ensemble(make=File.bare, depth=18)
    for key in [key for key in file.weights if not key.startswith("blocks.")]:
        del file.weights[key]
    file.dropped = 0
    check(file, imported(file.content), tmp_path / "out")


@pytest.mark.parametrize("key", ["0.mean", "0.std", "1.conv1.weight", "1.linear.weight", "1.linear.bias"])
@pytest.mark.parametrize("fault", [missing, renamed, misshapen, not_a_number])
def test_the_first_and_the_last_tensors_too(key, fault, imported):
    file = classifier(depth=18)
    complaint = fault(file.weights, key)
    with pytest.raises(CheckpointError, match=complaint):
        imported(file.content)


@pytest.mark.parametrize("layout", FILES)
def test_a_tensor_too_many_is_named(layout, imported):
    file = FILES[layout](depth=18)
    file.weights[f"{file.prefix}layer5.0.conv1.weight"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=rf"unexpected: {file.prefix}layer5\.0\.conv1\.weight\."):
        imported(file.content)


def test_a_name_without_its_wrapper_is_another_name(imported):
    file = classifier(depth=18)
    file.weights["conv1.weight"] = file.weights.pop("1.conv1.weight")
    with pytest.raises(CheckpointError, match=r"missing: 1\.conv1\.weight; unexpected: conv1\.weight\."):
        imported(file.content)


@pytest.mark.parametrize("key", ["linear.weight", "linear.bias"])
def test_outputs_that_are_not_as_many_as_their_biases(key, imported):
    file = classifier(depth=18)
    file.weights[f"1.{key}"] = file.weights[f"1.{key}"][:7]
    with pytest.raises(CheckpointError, match=rf"misshapen: .*1\.{key} \(7"):
        imported(file.content)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [("text", "conv1.weight is not a plain tensor"), (torch.eye(3).to_sparse(), "conv1.weight is not a plain tensor")],
    ids=["text", "sparse"],
)
def test_entries_that_are_no_tensors(value, complaint, imported):
    file = classifier(depth=18)
    file.weights["1.conv1.weight"] = value
    with pytest.raises(CheckpointError, match=complaint):
        imported(file.content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([torch.ones(2)], "must hold a state dict, got list"),
        ({"model": {"conv1.weight": torch.ones(2)}}, "Unknown architecture"),
        ({"nets": {"conv1.weight": torch.ones(2)}}, "entry nets is not a plain tensor"),
        ({"conv1.weight": torch.ones(2), "fc.weight": torch.ones(2)}, "tensors are named conv1.weight, fc.weight, "),
        ({}, "Unknown architecture"),
    ],
)
def test_files_of_other_things(content, complaint, imported):
    with pytest.raises(CheckpointError, match=complaint):
        imported(content)


def test_a_postactivation_network_of_the_same_names(imported):
    file = classifier(depth=18, first=1)
    for key, value in file.weights.items():
        if ".0.bn1." in key and value.ndim and "layer1" not in key:
            file.weights[key] = torch.cat([value, value])  # there the first batch norm comes after the convolution
    with pytest.raises(CheckpointError, match=r"misshapen: 1\.layer2\.0\.bn1\.weight"):
        imported(file.content)


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save(classifier(depth=18).content | {"trap": Trap()}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"cannot be read without running code \((posix|nt)\.mkdir\)"):
        imports.import_file(tmp_path / "file.pt", tmp_path / "out", NAME)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_module_is_code(imported):
    with pytest.raises(CheckpointError, match=r"without running code \(torch\.nn\.modules\.linear\.Linear\)"):
        imported(nn.Linear(2, 2))


def test_a_number_that_is_said_to_be_many_is_no_tensor(imported):
    file = classifier(depth=18)
    file.weights["1.conv1.weight"] = torch.ones(1).expand(10**6, 10**6)
    with pytest.raises(CheckpointError, match=r"1\.conv1\.weight is not a plain tensor"):
        imported(file.content)


def test_a_file_that_unpacks_to_more_than_it_has_is_not_unpacked(tmp_path):
    torch.save({"conv1.weight": torch.zeros(10**6)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "file.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert "conv1.weight" in torch.load(tmp_path / "file.pt", weights_only=True)  # torch would
    with pytest.raises(CheckpointError, match=r"is damaged or was not written by torch\.save"):
        imports.import_file(tmp_path / "file.pt", tmp_path / "out", NAME)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 1])
def test_files_cut_short(zipped, share, tmp_path):
    torch.save(classifier(depth=18).content, tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: min(int(share * len(whole)), len(whole) - 1)])
    with pytest.raises(CheckpointError, match="is damaged or was not written"):
        imports.import_file(tmp_path / "cut.pt", tmp_path / "out", NAME)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.write_text("<!DOCTYPE html><title>Quota exceeded</title>"), "is a web page"),
        (lambda path: path.write_text("to be, or not to be"), "is damaged or was not written"),
        (lambda path: path.write_bytes(bytes(1000)), "is damaged or was not written"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "does not exist"),
    ],
    ids=["html", "text", "zeros", "folder", "nothing"],
)
def test_files_that_are_not_pytorchs(make, complaint, tmp_path):
    make(tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=complaint):
        imports.import_file(tmp_path / "file.pt", tmp_path / "out", NAME)


@pytest.mark.parametrize(
    ("file", "classes", "complaint"),
    [(selfie, ("cat", "dog"), "has no classes"), (classifier, ("cat", "dog"), "names 2 classes, but .* has 10")],
)
def test_classes_that_do_not_fit(file, classes, complaint, imported):
    with pytest.raises(UsageError, match=complaint):
        imported(file(depth=18).content, classes)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_checkpoint_is_not_overwritten(name, imported, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("precious")
    with pytest.raises(UsageError, match="already holds a checkpoint"):
        imported(classifier(depth=18).content)
    assert (tmp_path / "out" / name).read_text() == "precious"
