"""Opening models: what they know, and what they leave alone."""

from __future__ import annotations

import copy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from deploy import onnx_files

from advss_zoo import Model, evaluate, load_model
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.local import suits
from advss_zoo.models.model import unwrapped
from advss_zoo.threat import ThreatModel
from advss_zoo.zoo import checkpoint, index, sources

MODULE = """
import torch


def build():
    import the_helper  # found at call time, too

    torch.manual_seed(the_helper.SEED)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 10, 8, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def fail():
    raise RuntimeError("no such weights")


def number():
    return 5
"""
X = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("the_module.py").write_text(MODULE)
    Path("the_helper.py").write_text("SEED = 1\n")
    for name in ("the_module", "the_helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_model_knows_what_it_is() -> None:
    model, folder = load_model("p1f4"), sources.fetch("p1f4").path
    network, config = checkpoint.load(folder)
    assert (model.name, model.sha256, model.folders) == ("p1f4.mini", index.find("p1f4").sha256, (folder,))
    assert (model.classes, model.image_size, model.temperature) == (config.classes, 32, config.temperature)
    assert (model.mean, model.std) == (config.architecture.mean, config.architecture.std)
    assert model.threat == ThreatModel("linf", 8 / 255)
    assert load_model("p1f3").threat is None
    assert (model.training, model.differentiable, model.device) == (False, True, torch.device("cpu"))
    assert torch.equal(model(X), network(X))


def test_it_is_copied_and_moved_like_any_module() -> None:
    model = load_model("p1f4")
    copied = copy.deepcopy(model).to(torch.float64)
    assert (copied.name, copied.sha256, copied.classes) == (model.name, model.sha256, model.classes)
    assert torch.allclose(copied(X.double()).float(), model(X), atol=1e-4)
    assert model.to("meta").device == torch.device("meta")


@pytest.mark.parametrize("name", ["p1f4", "p1f4+p1f3", "ensemble-p3f4"])
def test_evaluation_sees_the_network_itself(name: str) -> None:
    model = load_model(name)
    result = evaluate(model, (X, torch.zeros(4, dtype=torch.long)), "clean")
    assert result.model.to_dict() == {
        "name": model.name,
        "sha256": model.sha256,
        "weights_sha256": weights_sha256(unwrapped(model)),
    }
    assert suits(unwrapped(model))


def test_the_same_checkpoint_by_name_folder_file_and_run() -> None:
    folder = sources.fetch("p1f4").path
    for picked in ("average", "last"):
        shutil.copytree(folder, f"runs/mine/{picked}")
    Path("runs/mine/recipe.yaml").touch()
    named = load_model("p1f4")
    for reference in (folder, str(folder), folder / "model.safetensors", "runs/mine", Path("runs/mine"), "mine"):
        model = load_model(reference)
        assert (model.sha256, model.threat) == (named.sha256, named.threat)
        assert model.name == ("mine" if reference == "mine" else "p1f4.mini")
        assert torch.equal(model(X), named(X))


def test_a_factory_is_found_from_here_and_leaves_no_trace_in_the_search_path() -> None:
    before = list(sys.path)
    model = load_model("the_module:build")
    assert sys.path == before
    assert (model.name, model.classes, model.training) == ("the_module:build", None, False)
    assert len(model.sha256 or "") == 64
    for reference, error, says in (
        ("the_module:fail", AdvssError, "failed: RuntimeError: no such weights"),
        ("the_module:number", UsageError, "returned int, not a torch"),
        ("the_module:gone", UsageError, "Cannot import"),
        ("no_module:gone", UsageError, "Cannot import .* Write package.module:factory"),
    ):
        with pytest.raises(error, match=says):
            load_model(reference)
        assert sys.path == before


def test_an_ensemble_of_all_kinds() -> None:
    onnx_files.write(Path("model.onnx"), {}, shape=("batch", 3, 32, 32), classes=10)
    model = load_model("p1f4+the_module:build")
    assert isinstance(model.network, Ensemble)
    assert model.network.names == ("p1f4.mini", "the_module:build")
    assert (model.classes, model.image_size, model.threat) == (load_model("p1f4").classes, 32, None)
    mean = torch.stack([member(X).softmax(1) for member in model.network.members]).mean(0)
    assert torch.allclose(model(X).exp(), mean, atol=1e-6)
    assert not load_model("p1f4+model.onnx").differentiable


def test_an_onnx_file_is_a_model_without_gradients() -> None:
    model = load_model(onnx_files.write(Path("model.onnx")))
    assert (model.name, model.classes, model.image_size) == ("colours.tiny.onnx", onnx_files.CLASSES, 8)
    assert not model.differentiable
    assert copy.deepcopy(model)(torch.rand(2, 3, 8, 8)).shape == (2, 3)
    with pytest.raises(UsageError, match=r"needs gradients, which colours\.tiny\.onnx does not have"):
        evaluate(model, (torch.rand(8, 3, 8, 8), torch.zeros(8, dtype=torch.long)), "pgd2")


def test_a_model_of_ones_own_can_say_what_it_is() -> None:
    model = Model(torch.nn.Flatten(), "mine", "00ff", classes=("a", "b", "c"))
    result = evaluate(model, (torch.rand(8, 3, 1, 1), torch.zeros(8, dtype=torch.long)), "clean")
    assert (result.model.name, result.model.sha256) == ("mine", "00ff")


def test_a_gpu_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch cannot use a GPU"):
        load_model("p1f4", "cuda")
    assert load_model("p1f4", "auto").device.type == "cpu"


FACTORIES = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 10, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def program():
    return torch.export.export(net(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n")},))


def exported():
    return program().module()


def traced():
    return torch.jit.trace(net(), torch.rand(2, 3, 32, 32))


def scripted():
    return torch.jit.script(net())


def parallel():
    return nn.DataParallel(net())


def compiled():
    return torch.compile(net())


def double():
    return net().double()


def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))


def lazy_norm():
    return nn.Sequential(nn.LazyBatchNorm2d(), nn.Flatten())


def meta():
    return net().to("meta")


def quantised():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), {nn.Linear})


def quantised_convolution():
    return nn.Sequential(torch.ao.nn.quantized.Conv2d(3, 10, 8), nn.Flatten())


def sparse():
    return nn.ParameterList([torch.eye(3).to_sparse()])


class Refusing(nn.Flatten):
    def train(self, mode=True):
        raise ValueError("not in this mode")


def refusing():
    return Refusing()


def state_dict():
    return net().state_dict()
"""


@pytest.fixture
def _factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "the_factories.py").write_text(FACTORIES)
    monkeypatch.delitem(sys.modules, "the_factories", raising=False)


@pytest.mark.usefixtures("_factories")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["program", "exported", "traced", "scripted", "parallel", "compiled", "double"])
def test_modules_of_every_make_are_taken(name: str) -> None:
    labels = load_model("the_factories:net")(X).argmax(1)
    found = evaluate(load_model(f"the_factories:{name}"), (X, labels), "pgd2")
    assert found.ta == 1
    assert found.ra == evaluate(load_model("the_factories:net"), (X, labels), "pgd2").ra


@pytest.mark.usefixtures("_factories")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lazy", r"1\.weight of the model has no shape yet"),
        ("lazy_norm", r"0\.\w+ of the model has no shape yet .* Call the model once"),
        ("meta", r"0\.weight of the model has no values"),
        ("quantised", r"1 of the model is quantised \(Linear\)"),
        ("quantised_convolution", r"0 of the model is quantised \(Conv2d\)"),
        ("sparse", "the_factories:sparse failed: "),
        ("refusing", "the_factories:refusing failed: ValueError: not in this mode"),
        ("state_dict", "returned OrderedDict, not a torch"),
    ],
)
def test_or_refused_in_a_sentence(name: str, says: str) -> None:
    with pytest.raises(AdvssError, match=says):
        load_model(f"the_factories:{name}")


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("import argparse\nargparse.ArgumentParser().parse_args(['--lr'])", r"ended the program \(exit status 2\)"),
        ("import sys\nsys.exit()", r"ended the program \(exit status None\)"),
        ("weights = open('nowhere.pt')", "failed: FileNotFoundError: .*nowhere.pt"),
        ("def build(:\n    pass", "failed: SyntaxError: "),
        ("net = undefined", "failed: NameError: name .undefined. is not defined"),
        ("import a_package_that_is_not_there", "Cannot import .*No module named .a_package.* Install what"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_sentence(
    module: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "the_broken.py").write_text(module)
    monkeypatch.delitem(sys.modules, "the_broken", raising=False)
    with pytest.raises(AdvssError, match=says):
        load_model("the_broken:build")
