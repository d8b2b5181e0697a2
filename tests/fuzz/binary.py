"""What strangers may send that is no text: images, ONNX models, files that `torch.save` wrote."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from data.folder.pictures import encoded, picture, png
from deploy import onnx_files
from fuzz import cases
from hypothesis import strategies as st
from onnx import helper
from PIL import Image

from advss_zoo.data.folder import decoding
from advss_zoo.deploy.onnx_model import OnnxModel
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.zoo import SEEN, imports, membership, names
from advss_zoo.zoo.membership import SeenImages

SIDES = st.sampled_from(["n", 0, -1, 1, 8, 8, 8, 3, 4096, 4097, 2**40])
TYPES = (torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int8, torch.bool)
TYPES += (torch.uint16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64)
VALUES = st.sampled_from([0.0, 1.0, 1e300, float("nan"), float("inf")])
WRAPPERS = ("state_dict", "P_state", "selfie_state", "model", "ema", "state_dict_ema")
WRAPPERS += ("module.conv1.weight", "_orig_mod.conv1.weight", "ema_model.conv1.weight")
MANY = torch.ones(1).expand(10**5, 10**5)  # one number in a file of a kilobyte, 40 GB when copied


# --- images -----------------------------------------------------------------------------------------------------------


def images(folder: Path) -> st.SearchStrategy[bytes]:
    kinds = [kind for kind in decoding.FORMATS if kind != "TGA"]
    seeds = [encoded(picture(0), kind) for kind in kinds] + [encoded(picture(0, mode="P"), "PNG", transparency=0)]
    deep = np.arange(192, dtype=np.uint16).reshape(8, 8, 3) * 300
    seeds += [png(deep), encoded(Image.fromarray(deep[..., 0]), "TIFF"), encoded(picture(0), "JPEG")[:-2]]
    return st.sampled_from([*seeds, encoded(picture(0), "TGA")]).flatmap(cases.files)


def read_image(path: Path) -> None:
    found = decoding.read(path, 8)
    assert isinstance(found, str) or found[0].shape == (3, 8, 8)


# --- lists of images that a checkpoint has seen -----------------------------------------------------------------------


def seen_images(folder: Path) -> st.SearchStrategy[bytes]:
    rows = np.arange(48, dtype=np.uint8).reshape(3, 16)
    SeenImages(rows, rows[:1]).write(folder)
    return cases.files((folder / SEEN).read_bytes())


def read_seen_images(path: Path) -> None:
    found = membership.read(path.parent)
    found.which(found.trained[:2])


# --- ONNX models ------------------------------------------------------------------------------------------------------


def models(folder: Path) -> st.SearchStrategy[bytes]:
    """Damaged ones, ones of odd shapes, and ones that say something odd of themselves."""
    shapes = (
        st.tuples(SIDES, SIDES, SIDES, SIDES)
        | st.permutations([3, 8, 8]).map(lambda sides: ("n", *sides))
        | st.lists(SIDES, max_size=5).map(tuple)
    )
    shaped = st.builds(_model, cases.altered(onnx_files.PROPS), shapes, SIDES)
    told = cases.altered(onnx_files.PROPS).map(_model)
    return shaped | told | cases.files(_model(onnx_files.PROPS))


def _model(props: Any, shape: tuple[Any, ...] = ("batch", 3, 8, 8), classes: Any = 3) -> bytes:
    model = onnx_files.graph(shape, classes=classes)
    told = props if isinstance(props, dict) else {"props": props}
    helper.set_model_props(model, {_text(key): _text(value) for key, value in told.items()})
    return model.SerializeToString()


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


def read_model(path: Path) -> None:
    model = OnnxModel.read(path, "cpu")
    side = min(model.image_size or 8, 64)
    model.logits(np.zeros((2, 3, side, side), np.float32))


# --- what torch.save wrote --------------------------------------------------------------------------------------------


def pickles(folder: Path) -> st.SearchStrategy[bytes]:
    """Whole files damaged, files with a damaged pickle inside, and state dicts with something odd in one place."""
    state = ResNetV2(ResNetV2Architecture(depth=18, width=1)).state_dict()
    whole, legacy, small = _saved(state), _saved(state, zipped=False), _saved({"a": torch.ones(2)})
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickle,) = (name for name in members if name.endswith("data.pkl"))
    inside = cases.damaged(members[pickle]).map(lambda content: _zipped(members | {pickle: content}))
    odd = st.dictionaries(cases.TEXTS, cases.NUMBERS | cases.TEXTS | tensors() | st.just(MANY), max_size=3)
    entries = st.sampled_from([*state, *WRAPPERS])
    changed = st.builds(lambda name, value: _saved(state | {name: value}), entries, tensors() | st.just(MANY) | odd)
    safe = safetensors.torch.save(state)
    return inside | changed | odd.map(_saved) | st.sampled_from([whole, legacy, small, safe]).flatmap(cases.files)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=5))
    return torch.full(shape, draw(VALUES), dtype=torch.float64).to(draw(st.sampled_from(TYPES)))


def _saved(content: Any, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def read_pickle(path: Path) -> None:
    found = imports._find_weights(path)  # what is around it writes the checkpoint
    imports._take(found, imports._best_reading(found), names.parse("mine"), None)
