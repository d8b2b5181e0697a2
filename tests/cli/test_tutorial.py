"""The tutorial works as it is written, one command after the other, on some of its images and for one epoch."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from readme import README, TUTORIAL, blocks

COMMANDS = [line for block in blocks("offline", TUTORIAL) for line in block.splitlines()]
KEPT = 10  # images of each class


def test_every_command_in_order(tmp_path: Path, advss: Callable[..., Any]) -> None:
    (tmp_path / "example.py").write_text(blocks("python", TUTORIAL)[0])
    runpy.run_path(str(tmp_path / "example.py"))
    classes = sorted(folder.name for folder in (tmp_path / "photos").iterdir())
    images = {name: sorted((tmp_path / "photos" / name).iterdir()) for name in classes}
    assert (len(classes), sum(map(len, images.values()))) == (10, 1_000)
    for path in [path for paths in images.values() for path in paths[KEPT:]]:
        path.unlink()
    said = {command: advss(*shlex.split(quick(command))[1:]) for command in COMMANDS}
    assert not {command: ended.stderr for command, ended in said.items() if ended.status}
    predicted = [
        [line.split("\t")[:2] for line in ended.stdout.splitlines()]
        for command, ended in said.items()
        if command.startswith("advss predict")
    ]
    assert len(predicted[0]) == 1 + KEPT, "a heading, and a line an image"
    assert predicted[0] == predicted[1], "the ONNX file says the same"
    assert all((tmp_path / "robust" / name).is_file() for name in ("report.html", "best-ra/README.md"))
    published = tmp_path / "published"
    assert {"config.json", "README.md", "model.safetensors", "results"} <= {path.name for path in published.iterdir()}
    assert json.loads((published / "config.json").read_text())["classes"] == classes
    assert [path.name for path in published.rglob("*.png")] == ["curves.png"], "no image of the person's"


def quick(command: str) -> str:
    """With one epoch in place of ten minutes."""
    return command.replace("--budget 10m", "--epochs 1 validation.attack.steps=1")


def test_only_what_needs_a_network_is_not_run() -> None:
    """So nobody adds a command and forgets the marker."""
    shown = re.findall(r"^```bash\n(.*?)^```$", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    others = {line for block in shown for line in block.splitlines()} - set(COMMANDS)
    assert others == {line for line in others if "hf://" in line}
    assert {command.split()[1] for command in COMMANDS} == {"finetune", "eval", "predict", "export", "publish"}


def test_the_readme_leads_to_it_and_its_links_lead_back() -> None:
    assert "(docs/tutorial.md)" in README.read_text()
    for target in re.findall(r"\]\(([^)#:]+)", TUTORIAL.read_text()):
        assert (TUTORIAL.parent / target).is_file()
