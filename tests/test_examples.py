"""The scripts and notebooks of examples/ run as they stand, on fewer images."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from advss_zoo import resources

EXAMPLES = resources.CHECKOUT / "examples"
ARGUMENTS = {  # few images; of the last a folder and epochs
    "attack": ["2"],
    "compare": ["2"],
    "ensemble": ["2"],
    "own_model": ["32", "1"],
    "finetune": ["pictures", "1"],
}
FEWER = {"limit=64": "limit=2", "limit=8": "limit=2", "limit=4": "limit=1", "epochs=3": "epochs=1", "[:40]": "[:8]"}


@pytest.fixture(autouse=True)
def _working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


def test_every_example_is_listed_and_run():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == set(ARGUMENTS)
    listed = re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb"))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_script_runs(name, monkeypatch, capsys):
    if name == "compare":
        pytest.importorskip("pandas")
    if name == "finetune":
        runpy.run_path(str(EXAMPLES / "finetune.py"))["write_pictures"](Path("pictures"), each=8)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *ARGUMENTS[name]])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert re.search(r"\d+\.\d%|compare\.html", capsys.readouterr().out)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_stored_without_outputs(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    names: dict[str, object] = {}
    for cell in cells:
        source = "".join(cell["source"])
        for text, smaller in FEWER.items():
            source = source.replace(text, smaller)
        exec(compile(source, str(path), "exec"), names)
    shutil.rmtree("runs", ignore_errors=True)
