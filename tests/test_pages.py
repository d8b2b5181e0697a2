"""Every block of code in the README and in docs/ is run, or is marked with why not.

| marker | |
|---|---|
| `offline` | its lines run one after the other, on a few images, in a folder with a person's files, network shut |
| `python` | it runs there, too |
| `file NAME` | it is written there as NAME |
| `run`, `test` | of the README: `test_readme.py` and `.ci/run` run it |
| `network` | needs a network, or data that are downloaded |
| `long` | takes more than a minute or so, or several GPUs |
| `fish` | needs another shell |
| `example` | names what only the reader has, or ends with an exit status other than 0 |
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from cli import conftest as in_process
from PIL import Image
from readme import DOCS, README, marked

from advss_zoo.cli.app import app
from advss_zoo.data.subset import load_subset

RUN = ("offline", "python")
NOT_RUN = ("run", "test", "network", "long", "fish", "example")
ELSEWHERE = {
    "tutorial.md": "tests/cli/test_tutorial.py runs it",
    "api.md": "signatures",
}
CODE = ("bash", "python", "fish")
PAGES = [README, README.parent / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PAGES = [page for page in PAGES if page.name not in ELSEWHERE]
BLOCKS = [(page, *block) for page in PAGES for block in marked(page) if block[1] in CODE]
COMMANDS = typer.main.get_command(app).commands
SHUT = {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}

advss = in_process.advss  # a fixture


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in this environment, network shut."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, **SHUT}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def prepare(folder: Path) -> None:
    """The files that pages speak of: photographs, a folder of classes, and weights of the person's own."""
    pictures = [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in load_subset().images[:40]]
    for name in ("mydir/cat", "mydir/dog", "photos", "more/deeper"):
        (folder / name).mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / "mydir" / ("cat" if number % 2 else "dog") / f"{number}.png")
    pictures[0].save(folder / "photos" / "0.png")
    pictures[1].save(folder / "more" / "deeper" / "1.png")
    pictures[2].resize((200, 150)).save(folder / "photo.jpg")


def own_weights(folder: Path) -> None:
    import torch
    import torchvision

    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), folder / "robustnet.pt")


@pytest.mark.parametrize(
    "page", sorted({page for page, marker, *_ in BLOCKS if marker in RUN}), ids=lambda page: page.stem
)
def test_a_page_does_as_it_says(
    page: Path, tmp_path: Path, advss: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in {**SHUT, "ADVSS_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    for marker, _, code in marked(page):
        if marker and marker.startswith("file "):
            (tmp_path / marker.removeprefix("file ")).write_text(code)
            own_weights(tmp_path)
        if marker == "python":
            (tmp_path / "example.py").write_text(code)
            runpy.run_path("example.py")
        for line in code.splitlines() if marker == "offline" else ():
            program, *arguments = shlex.split(re.sub(r"--limit \d+", "--limit 3", line))
            if program == "advss":
                status, stdout, stderr = advss(*arguments)
                assert (status, bool(stdout)) == (0, True), f"{line}\n{stderr}"
            else:
                ended = shell(line, tmp_path)
                assert ended.returncode == 0, f"{line}\n{ended.stderr}"


def test_every_block_is_run_or_says_why_not() -> None:
    unmarked = [
        f"{page.name}: {code}"
        for page, marker, _, code in BLOCKS
        if marker not in (*RUN, *NOT_RUN) and not (marker or "").startswith("file ")
    ]
    assert not unmarked, "\n\n".join(unmarked)


@pytest.mark.parametrize(
    "line",
    [
        line
        for _, marker, language, code in BLOCKS
        if marker in ("network", "long", "example") and language == "bash"
        for line in re.split(r"\n| && ", code.replace("\\\n", ""))
        if line.startswith("advss ")
    ],
)
def test_a_command_that_is_not_run_is_understood(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    COMMANDS[name].make_context(name, arguments)


def test_python_that_is_not_run_compiles() -> None:
    for page, _, language, code in BLOCKS:
        if language == "python":
            compile(code, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_sentences_exist(page: Path) -> None:
    named = re.findall(r"`advss ([a-z]+)[^`]*`", page.read_text())
    assert set(named) <= set(COMMANDS), set(named) - set(COMMANDS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_completes(tmp_path: Path) -> None:
    ended = shell("COMP_WORDS='advss eval --att' COMP_CWORD=2 _ADVSS_COMPLETE=complete_bash advss", tmp_path)
    assert ended.stdout.split() == ["--attack"]
