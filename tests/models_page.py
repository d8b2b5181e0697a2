"""Write the tables of docs/models.md, each row of which is tried: python tests/models_page.py"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from deploy import onnx_files
from nets import NETS
from onnx import TensorProto
from torch import Tensor, nn

from advss_zoo import resources
from advss_zoo.deploy import onnx_module
from advss_zoo.errors import AdvssError
from advss_zoo.models.adapted import adapt, check_weights, said_of
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.backbones.timm import TimmArchitecture
from advss_zoo.models.backbones.torchvision import TorchvisionArchitecture
from advss_zoo.models.model import Model
from advss_zoo.zoo import imports, names

PAGE = resources.CHECKOUT / "docs" / "models.md"
TABLES = re.compile(r"(?<=<!-- tables -->\n).*?(?=<!-- end -->)", re.DOTALL)
X = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Images to what `change` makes of logits, which are far from probabilities."""

    def __init__(self, change: Callable[[Tensor], Any] = lambda z: z, classes: int = 4, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.change = nn.Conv2d(channels, classes, 8), change

    def forward(self, x: Tensor) -> Any:
        return self.change(100 * self.conv(x).flatten(1))


class InPlace(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.sub_(0.5).div_(0.25))


OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "logits (B,K), or log-probabilities": lambda z: z,
    "probabilities": lambda z: z.softmax(1),
    "sigmoids (B,K)": lambda z: z.sigmoid(),
    "float16 or bfloat16": lambda z: z.half(),
    "float64": lambda z: z.double(),
    "a tuple or list with one tensor (B,K)": lambda z: (z, z.mean()),
    "a dict with one tensor (B,K)": lambda z: {"scores": z},
    "a dict, named tuple, dataclass or ModelOutput with `logits`": lambda z: {"logits": z, "hidden": z},
    "several tensors (B,K)": lambda z: (z, z),
    "class numbers": lambda z: z.argmax(1),
    "feature maps (B,K,1,1)": lambda z: z[:, :, None, None],
}
BINARY: dict[str, Callable[[Tensor], Any]] = {
    "one logit (B,) or (B,1)": lambda z: z - z.mean(),
    "one probability (B,) or (B,1)": lambda z: z.sigmoid(),
}


def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(4))


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), {nn.Linear})


MODULES: dict[str, Callable[[], nn.Module]] = {
    "any module in float32": Net,
    "in float64, float16 or bfloat16": lambda: Net().double(),
    "changes its input in place": InPlace,
    "takes grey images": lambda: Net(channels=1),
    "takes images of another size, known by `image_size`": lambda: Model(_Upright(), "big", image_size=16),
    "takes images of another size, not known": lambda: _Upright(),
    "`torch.compile`": lambda: torch.compile(Net()),
    "`DataParallel`": lambda: nn.DataParallel(Net()),
    "TorchScript": lambda: torch.jit.trace(nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()).eval(), X),
    "lazy layers that have not been called": lazy,
    "weights on the device meta": lambda: Net().to("meta"),
    "quantised layers": quantised,
}


class _Upright(nn.Module):
    """Takes images of 16 pixels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


ONNX: dict[str, dict[str, Any]] = {
    "input (batch, 3, N, N)": {},
    "input (batch, N, N, 3)": {"shape": ("batch", 8, 8, 3)},
    "a batch of fixed size": {"shape": (1, 3, 8, 8)},
    "uint8 input": {"element": TensorProto.UINT8},
    "float16 input": {"element": TensorProto.FLOAT16},
    "one channel": {"shape": ("batch", 1, 8, 8), "weights": [[9.0, -9.0]]},
    "another fixed size": {"shape": ("batch", 3, 16, 16)},
    "probabilities": {"ends": {"prob": "Softmax"}},
    "several outputs, one of them `logits`": {"ends": {"logits": "Identity", "prob": "Softmax"}},
    "several outputs, one of them (B,K)": {"ends": {"label": "ArgMax", "scores": "Identity"}},
    "several outputs (B,K)": {"ends": {"a": "Identity", "b": "Softmax"}},
    "one logit": {"weights": [[30.0], [-30.0], [0.0]]},
    "images of four channels": {"shape": ("batch", 4, 8, 8)},
}


def _wrapped(prefix: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WEIGHTS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "a plain state dict": lambda state: state,
    "`state_dict`, `model_state_dict`, `model`, `net`": lambda state: {"model": state, "epoch": 3},
    "`module.` (DataParallel)": _wrapped("module."),
    "`_orig_mod.` (torch.compile)": _wrapped("_orig_mod."),
    "`state_dict` with `model.` (Lightning)": lambda state: {"state_dict": _wrapped("model.")(state)},
    "`state_dict_ema`, `ema`, `model_ema` beside the weights": lambda state: {"model": state, "model_ema": state},
    "no `num_batches_tracked`": lambda state: {name: each for name, each in state.items() if "tracked" not in name},
    "safetensors": safetensors.torch.save,
    "a pickled module": lambda state: nn.Linear(2, 2),
    "another architecture": lambda state: {"patch_embed.proj.weight": torch.ones(2)},
}


def render() -> str:
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings(action="ignore"):
        folder = Path(name)
        return "\n".join(
            [
                _table("The model returns", "what is done", {what: _of(Net(make)) for what, make in OUTPUTS.items()}),
                _table(
                    "For two classes it returns",
                    "what is done",
                    {what: _of(Net(make, classes=1)) for what, make in BINARY.items()},
                ),
                _table("A torch module", "what is done", {what: _of_module(make) for what, make in MODULES.items()}),
                _table(
                    "An ONNX file with", "what is done", {what: _onnx(folder, **each) for what, each in ONNX.items()}
                ),
                _table(
                    "A file of weights with",
                    "what `advss import` does",
                    {what: _import(folder, what, make) for what, make in WEIGHTS.items()},
                ),
                _nets(),
            ]
        )


def _table(what: str, done: str, rows: dict[str, str]) -> str:
    lines = [f"| {what} | {done} |", "|---|---|", *(f"| {row} | {found} |" for row, found in rows.items())]
    return "\n".join(["", *lines, ""])


def _told(found: Callable[[], str]) -> str:
    try:
        return found() or "taken as it is"
    except AdvssError as error:
        message = re.sub(r"(fails on .*?\)): .*", r"\1.", error.message)  # torch's own words differ between versions
        return "refused: " + re.sub(r"/\S+/(\w+\.\w+)", r"\1", message)


def _of(model: nn.Module) -> str:
    return _told(lambda: " ".join(_short(each) for each in said_of(adapt(model, X))))


def _short(sentence: str) -> str:
    return re.sub(r"^(The model|\S+\.onnx) ", "", sentence)


def _of_module(make: Callable[[], nn.Module]) -> str:
    def found() -> str:
        model = make()
        check_weights(model)
        return " ".join(_short(each) for each in said_of(adapt(model, X)))

    return _told(found)


def _onnx(folder: Path, **options: Any) -> str:
    def found() -> str:
        model = onnx_module.load(onnx_files.others(folder / "a.onnx", **options))
        return " ".join(_short(each) for each in said_of(adapt(model, X)))

    return _told(found)


def _import(folder: Path, what: str, make: Callable[[dict[str, Tensor]], Any]) -> str:
    def found() -> str:
        content = make(ResNetV2(ResNetV2Architecture(depth=18, width=2)).state_dict())
        path = folder / "weights.pt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        imported = imports.import_file(path, folder / str(abs(hash(what))), names.parse("mine"))
        return "the average is taken" * imported.averaged + "they are set to 0" * bool(imported.untracked)

    return _told(found)


def _nets() -> str:
    lines = ["| A model by name | what it is | tried with images of | other sizes |", "|---|---|---|---|"]
    for name, (kind, side) in NETS.items():
        family, _, model = name.partition("?")[0].partition(":")
        architecture = TimmArchitecture if family == "timm" else TorchvisionArchitecture
        others = "`?img_size=N` builds another" if architecture(model=model).takes_one_size else "yes"
        dropout = ", `?drop_rate=0.5`" if "drop_rate" in name else ""
        lines.append(f"| `{family}:{model}`{dropout} | {kind} | {side} pixels | {others} |")
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(TABLES.sub(lambda _: render() + "\n", PAGE.read_text(encoding="utf-8")), encoding="utf-8")
