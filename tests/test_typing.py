"""What a type checker of somebody else's project sees: `py.typed` and the types of public functions."""

from __future__ import annotations

import subprocess
import sys

import pytest

DOWNSTREAM = """
import advss_zoo as az

model = az.load_model("p1f4")
images, labels = az.load_data("cifar10-1k", limit=64)
for x, y in az.load_data("cifar10-1k").loader(batch_size=32):
    az.attacks.autoattack(model, x, y)
x_adv = az.attacks.pgd(model, images, labels, eps=8 / 255, steps=20, norm="linf", seed=0)
ra = az.evaluate(model, (x_adv, labels), "pgd20").ra
reveal_type(az.list_models())
reveal_type(ra)
reveal_type(az.load_data("cifar10-1k").classes)
az.attacks.pgd(model, images)
az.attacks.pgd(model, images, labels, norm="l3")
az.load_data(64)
"""

# Torch itself takes half a minute to look through.
CONFIG = """
[mypy]
strict = true
[mypy-torch.*,numpy.*,PIL.*,pydantic.*,scipy.*,torchvision.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """What `mypy --strict` says of lines of the file, by their numbers."""
    folder = tmp_path_factory.mktemp("downstream")
    (folder / "project.py").write_text(DOWNSTREAM)
    (folder / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-color-output", "project.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_calls_as_in_the_readme_are_right_and_have_types(messages):
    revealed = [
        line.partition("Revealed type is ")[2].replace("builtins.", "")
        for line in messages.splitlines()
        if "Revealed" in line
    ]
    assert revealed == ['"list[str]"', '"float | None"', '"tuple[str, ...]"'], messages


def test_wrong_calls_are_found_and_nothing_else(messages):
    errors = [line for line in messages.splitlines() if "error:" in line]
    kinds = [line.rpartition("[")[2] for line in errors]
    assert kinds == ["call-arg]", "arg-type]", "arg-type]"], messages
