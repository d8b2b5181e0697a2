"""What a reference means: one notation, one precedence, one module that decides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import advss_zoo
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.zoo import index
from advss_zoo.zoo.reference import means_model, names_in, parse_reference


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a checkpoint, a run in ./runs, photos and files of weights."""
    monkeypatch.chdir(tmp_path)
    config = json.dumps({"provenance": {"deployed": "average"}})
    for folder in ("mine", "runs/pets.mini/average", "runs/pets.mini/last"):
        Path(folder).mkdir(parents=True)
        Path(folder, "config.json").write_text(config)
        Path(folder, "model.safetensors").touch()
    Path("runs/pets.mini/recipe.yaml").touch()
    Path("photos").mkdir()
    for file in ("model.onnx", "weights.safetensors", "old.pt", "cat.png", "notes.txt", "photos/cat.png"):
        Path(file).touch()


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("p1f4", "zoo", None),
        ("p1f4.mini", "zoo", None),
        ("hf://advss-zoo/p1f4.mini@v0.1.0", "hub", None),
        ("mine", "folder", "mine"),
        ("./mine", "folder", "mine"),
        ("mine/model.safetensors", "folder", "mine"),
        ("runs/pets.mini", "folder", "runs/pets.mini/average"),
        ("runs/pets.mini/last", "folder", "runs/pets.mini/last"),
        ("pets.mini", "run", "runs/pets.mini/average"),
        ("pets", "run", "runs/pets.mini/average"),
        ("model.onnx", "onnx", "model.onnx"),
        ("nowhere/Model.ONNX", "onnx", "nowhere/Model.ONNX"),
        ("weights.safetensors", "file", "weights.safetensors"),
        ("old.pt", "file", "old.pt"),
        ("my.module:factory", "factory", None),
    ],
)
def test_each_notation(text: str, kind: str, path: str | None) -> None:
    found = parse_reference(text)
    assert (found.kind, found.text, found.path) == (kind, text, Path(path) if path else None)
    assert found.parts == (found,)


def test_names_tags_and_revisions() -> None:
    found = parse_reference("p1f4")
    assert (found.name, found.tag) == ("p1f4", index.find("p1f4").tag)
    assert parse_reference("pets").name == "pets.mini"
    found = parse_reference("hf://acme/net@v1")
    assert (found.name, found.revision) == ("acme/net", "v1")


def test_an_ensemble_is_of_references_of_any_kind() -> None:
    texts = ["p1f4", "hf://acme/net@v1", "./mine", "pets", "model.onnx", "my.module:factory"]
    found = parse_reference("+".join(texts))
    assert found.kind == "ensemble"
    assert [part.text for part in found.parts] == texts
    assert [part.kind for part in found.parts] == ["zoo", "hub", "folder", "run", "onnx", "factory"]


def test_a_path_with_a_plus_in_its_name_is_a_path(tmp_path: Path) -> None:
    Path("mine").rename("a+b")
    assert parse_reference("a+b").kind == "folder"
    Path("c+d.onnx").touch()
    assert parse_reference("c+d.onnx").kind == "onnx"


def test_the_zoo_comes_first_and_says_what_it_shadows() -> None:
    assert parse_reference("p1f4.mini").shadowed is None
    Path("runs/pets.mini").rename("runs/p1f4.mini")
    for text in ("p1f4", "p1f4.mini"):
        found = parse_reference(text)
        assert (found.kind, found.shadowed) == ("zoo", Path("runs/p1f4.mini"))
    Path("mine").rename("p1f4")
    assert parse_reference("p1f4").shadowed == Path("p1f4")
    assert parse_reference("./p1f4").kind == "folder"
    assert parse_reference(Path("p1f4")).kind == "folder", "a Path is a path"


def test_several_runs_in_the_shadow_of_the_zoo_are_no_obstacle() -> None:
    for tag in ("mini", "r50"):
        Path(f"runs/p1f4.{tag}").mkdir()
        Path(f"runs/p1f4.{tag}/recipe.yaml").touch()
    assert parse_reference("p1f4").kind == "zoo"


def test_a_path_comes_before_a_run_but_a_folder_of_anything_else_does_not() -> None:
    Path("mine").rename("pets")
    assert parse_reference("pets").kind == "folder"
    Path("pets").rename("mine")
    Path("photos").rename("pets")
    assert parse_reference("pets").kind == "run"


def test_names_that_need_not_exist_yet() -> None:
    assert names_in("later-p3f4.mini+hf://acme/net+my.module:factory+./mine") == ["later-p3f4.mini", "./mine"]


def test_what_was_just_made_comes_before_the_zoo_in_a_chain_of_recipes() -> None:
    Path("runs/pets.mini").rename("runs/p1f4.mini")
    found = parse_reference("p1f4.mini", beside=Path("runs"))
    assert (found.kind, found.path) == ("run", Path("runs/p1f4.mini/average"))
    assert parse_reference("p1f3.mini", beside=Path("runs")).kind == "zoo"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("p1f44", UsageError, r"Unknown checkpoint 'p1f44'\. Did you mean p1f4\.mini"),
        ("p1f4+zebra5", UsageError, "Unknown checkpoint 'zebra5'"),
        ("p1f4+", UsageError, "'' is not a checkpoint name"),
        ("+p1f4", UsageError, "'' is not a checkpoint name"),
        ("p1f4++p1f3", UsageError, "'' is not a checkpoint name"),
        ("hf://acme", UsageError, "names an owner, not a repository"),
        ("photos", UsageError, "photos is not a checkpoint .* a run"),
        ("notes.txt", UsageError, "notes.txt is not a checkpoint"),
        ("no/such/folder", CheckpointError, "no/such/folder does not exist"),
        (Path("p1f4"), CheckpointError, "p1f4 does not exist"),
        ("not a module:factory", UsageError, "is not a checkpoint name"),
        ("", UsageError, "is not a checkpoint name"),
        ("a\0b", UsageError, "is not a checkpoint name"),
        ("x" * 5000, UsageError, "is not a checkpoint name"),
    ],
)
def test_what_means_nothing_is_a_sentence(text: str | Path, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("p1f4", True),
        ("unknown-name", True),
        ("p1f4+unknown", True),
        ("hf://acme", True),
        ("missing.onnx", True),
        ("my.module:factory", True),
        ("mine", True),
        ("pets", True),
        ("photos", False),
        ("cat.png", False),
        ("gone.jpg", False),
        ("*.png", False),
        ("photos/**", False),
        ("./missing", False),
    ],
)
def test_models_are_told_from_images(text: str, model: bool) -> None:
    assert means_model(text) is model


def test_an_unfinished_run_is_meant_as_a_model() -> None:
    Path("runs/pets.mini/last/config.json").unlink()
    assert means_model("pets")
    assert means_model("runs/pets.mini")


def test_no_other_module_decides_what_a_reference_is() -> None:
    root = Path(advss_zoo.__file__).parent
    deciding = re.compile(
        r"""startswith\(\(?["']hf:|["']\.onnx["']|\.suffix\b.*(onnx|safetensors)|split\(["']\+["']\)|["']:["'] in """
    )
    allowed = {"zoo/reference.py", "reproduction/ours.py"}  # the latter takes names of results apart
    found = {
        str(path.relative_to(root)): line.strip()
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if deciding.search(line) and str(path.relative_to(root)) not in allowed
    }
    assert not found
    assert deciding.search((root / "zoo/reference.py").read_text())


def test_it_imports_no_torch() -> None:
    program = (
        "import sys; from advss_zoo.zoo.reference import parse_reference as p; p('p1f4'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "False\n"
