"""What the README tells people to type works as it is written."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from readme import README, blocks

from advss_zoo import list_models

OFFLINE = [line for block in blocks("offline") for line in block.splitlines()]


def run(command, folder):
    """A line of the README in this environment, network shut, in an empty folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", OFFLINE)
def test_commands_that_need_no_network(command, tmp_path):
    ended = run(command, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_the_first_command_measures_the_robust_accuracy_of_the_default_classifier(tmp_path):
    *installing, measuring = blocks("run")[0].split(" && ")
    assert installing == ["python3 -m venv .venv", ".venv/bin/pip install -e ."]
    ended = run(measuring.replace(".venv/bin/advss", "advss"), tmp_path)
    assert ended.returncode == 0, ended.stderr
    heading, values = (line.split("\t") for line in ended.stdout.splitlines())
    measured = dict(zip(heading, values, strict=True))
    assert (measured["data"], measured["n"]) == ("cifar10-1k", "1,000")
    assert float(measured["TA"]) > 60
    assert float(measured["RA"]) > 30


def test_the_python_example(tmp_path):
    example = tmp_path / "example.py"
    example.write_text(blocks("python")[0])
    ended = run(f"{shlex.quote(sys.executable)} {shlex.quote(str(example))}", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "torch.Size([8, 10])" in ended.stdout


def test_the_table_of_the_zoo_is_up_to_date():
    from advss_zoo.zoo.cards import table

    section = README.read_text().split("<!-- zoo -->\n")[1].strip().split("\n\n")[0]
    assert section == table()
    assert all(name in section for name in list_models())
