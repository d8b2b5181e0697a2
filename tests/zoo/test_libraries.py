"""Models of timm and torchvision by name, with random weights: nothing here asks the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision

import advss_zoo as az
from advss_zoo import attacks
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import in_order
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.models.backbones.timm import TimmArchitecture
from advss_zoo.zoo import cache, checkpoint, imports, names, sources
from advss_zoo.zoo.reference import parse_reference

# A convolutional net, one with layer norm, tokens, inverted residuals, group norm, one without any; and with dropout.
SMALL = [
    "timm:test_resnet?pretrained=false&img_size=32",
    "timm:test_convnext?pretrained=false&img_size=32",
    "timm:test_vit?pretrained=false&img_size=32",
    "timm:test_efficientnet?pretrained=false&img_size=32",
    "timm:test_efficientnet_gn?pretrained=false&img_size=32&drop_rate=0.3",
    "timm:test_nfnet?pretrained=false&img_size=32",
    "timm:mobilenetv3_small_050?pretrained=false&img_size=32",
    "torchvision:mobilenet_v3_small?pretrained=false&img_size=32",
]
VIT = SMALL[2]
X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IMAGENET_IDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.mark.parametrize("name", SMALL)
def test_a_model_is_opened_attacked_and_opened_again(name: str) -> None:
    """Random weights are the same each time, and their folder is a checkpoint like any other."""
    model = az.load_model(name)
    assert (model.name, model.image_size, len(model.classes or ())) == (name, 32, 1000)
    y = model(X).argmax(dim=1)
    adversarial = attacks.pgd(model, X, y, eps=8 / 255, steps=1)
    assert 0 < (adversarial - X).abs().max() <= 8 / 255 + 1e-6
    again = az.load_model(sources.fetch(name).path)
    assert again.sha256 == model.sha256
    assert torch.equal(again(X), model(X))


def test_logits_are_those_of_timm() -> None:
    """Normalisation, by the model's own constants, is inside."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        theirs = timm.create_model("test_vit", img_size=32).eval()
    assert theirs.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
    torch.testing.assert_close(az.load_model(VIT)(X), theirs((X - 0.5) / 0.5))
    config = checkpoint.read_config(sources.fetch(VIT).path)
    assert config.architecture == TimmArchitecture(
        model="test_vit", num_classes=1000, mean=(0.5,) * 3, std=(0.5,) * 3, img_size=32
    )


def test_features_are_the_vector_before_the_classifier() -> None:
    assert az.load_trunk(VIT)(X).shape == (2, 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:test_vitt", r"timm has no model 'test_vitt' \(did you mean test_vit"),
        ("timm:resnet18.a9", r"timm has no model 'resnet18.a9'. Choose from resnet18.a1_in1k,"),
        ("timm:", "'timm:' does not name a model of timm"),
        ("timm:test_vit?depth=3", "depth: unknown key"),
        ("timm:test_vit?pretrained=false&img_size=9000", "img_size: Input should be less than or equal to 4096"),
        ("timm:hf-hub:acme", "names an owner, not a repository"),
        ("timm:deit_tiny_distilled_patch16_224?pretrained=false", "does not end in one linear layer"),
        ("torchvision:resnet19", r"torchvision has no classifier 'resnet19' \(did you mean resnet1"),
        ("torchvision:resnet18:V9", "resnet18 has no weights 'V9'. Choose from IMAGENET1K_V1, DEFAULT"),
        ("torchvision:squeezenet1_1?pretrained=false", "does not end in one linear layer"),
        ("torchvision:resnet18?pretrained=false&drop_rate=0.1", "take no drop_rate"),
        ("torchvision:vit_b_16?pretrained=false&img_size=30", "cannot build vit_b_16 for images of 30 pixels"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        az.load_model(name)


def test_without_network_a_sentence_says_what_is_missing_and_how_to_get_it() -> None:
    """In a process of its own: the clients read their environment when they are imported."""
    names = "timm:resnet18.a1_in1k", "torchvision:resnet18"
    code = (
        f"import advss_zoo\nfrom advss_zoo.errors import CheckpointError\nfor name in {names}:\n"
        "    try: advss_zoo.load_model(name)\n    except CheckpointError as error: print(*str(error).splitlines())"
    )
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "PATH": ""}
    environment = {key: str(Path(key).absolute()) for key in ("ADVSS_CACHE", "HF_HOME", "TORCH_HOME")}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, env=environment | unreachable, check=False)
    sentences = [line for line in found.stdout.splitlines() if line.startswith("The weights of")]
    for name, said in zip(names, sentences, strict=True):
        assert f"The weights of {name} are not on this machine" in said, found.stderr
        assert f"run `advss pull {name}`, copy the folder" in said
        assert "?pretrained=false" in said


def test_a_record_of_strangers_names_no_address_and_no_path() -> None:
    for name in ("hf-hub:acme/tiny", "local-dir:/etc", "../x", "resnet18.a1_in1k"):
        with pytest.raises(ValueError, match="String should match pattern"):
            TimmArchitecture(model=name)
    with pytest.raises(UsageError, match="timm has no model 'no_such'"):
        TimmArchitecture(model="no_such").trunk()


def test_the_cache_lists_converted_models_and_prunes_them() -> None:
    folder = sources.fetch(SMALL[0]).path
    assert [(item.kind, item.path, item.kept) for item in cache.items()] == [("converted", folder, None)]
    cache.prune()
    assert not folder.exists()


def test_several_and_models_of_the_zoo_are_references_as_before() -> None:
    both = parse_reference(f"{SMALL[0]}+{VIT}")
    assert [part.kind for part in both.parts] == ["timm", "timm"]
    assert parse_reference("p1f4").kind == "zoo"


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (IMAGENET_IDS, [0, 1, 2]),
        (("0", "11", "2"), [0, 11, 2]),
        (("goldfish", "tench"), [1, 0]),
    ],
)
def test_folders_are_matched_by_wordnet_id_number_or_name(folders: tuple[str, ...], labels: list[int]) -> None:
    classes = az.load_model(VIT).classes
    assert classes
    count = len(folders)
    images = ImageSet("mine", "test", np.zeros((count, 3, 8, 8), np.uint8), np.arange(count), np.arange(count), folders)
    assert in_order(images, classes).labels.tolist() == labels
    strange = ImageSet("mine", "test", images.images, images.labels, images.index, (*folders[:-1], "n99999999"))
    with pytest.raises(UsageError, match="The model has no classes"):
        in_order(strange, classes)


def theirs(architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if architecture.startswith("timm"):
        return timm.create_model("test_vit", num_classes=4, img_size=32).eval()
    return torchvision.models.shufflenet_v2_x0_5(num_classes=4).eval()


@pytest.mark.parametrize("architecture", ["timm:test_vit?img_size=32", "torchvision:shufflenet_v2_x0_5?img_size=32"])
def test_weights_that_were_trained_elsewhere_become_a_checkpoint(architecture: str) -> None:
    model = theirs(architecture)
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": each for key, each in model.state_dict().items()}}, "a.pt")
    found = imports.import_file(
        Path("a.pt"), Path("mine"), names.parse("mine"), tuple("abcd"), parse_reference(architecture)
    )
    assert (found.copied, found.dropped, found.normalised) == (len(model.state_dict()), {}, False)
    network, config = checkpoint.load(Path("mine"))
    assert (config.kind, config.classes, config.image_size) == ("classifier", tuple("abcd"), 32)
    torch.testing.assert_close(network(X), model(network.normalize(X)))


def test_weights_of_another_net_and_another_notation_are_refused() -> None:
    model = theirs("timm:test_vit")
    torch.save(model.state_dict(), "a.pt")
    arguments = Path("a.pt"), Path("mine"), names.parse("mine"), None
    for architecture, says in (
        ("timm:test_vit2?img_size=32", r"do not fit the model; missing: .*unexpected: "),
        ("timm:test_vit?img_size=64", r"do not fit the model; misshapen: pos_embed \(1, 5, 64\)"),
    ):
        with pytest.raises(CheckpointError, match=says):
            imports.import_file(*arguments, parse_reference(architecture))
    with pytest.raises(UsageError, match="p1f4 is not a model of a library"):
        imports.import_file(*arguments, parse_reference("p1f4"))
    with pytest.raises(CheckpointError, match="Of a model of timm or torchvision say which: --architecture timm:NAME"):
        imports.import_file(*arguments)
