"""What docs/python.md shows runs as it is written, and docs/api.md is what the docstrings say."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from docs_api import render
from PIL import Image

import advss_zoo as az
from advss_zoo import resources
from advss_zoo.attacks import autoattack_driver as driver

DOCS = resources.CHECKOUT / "docs"
# On fewer images and for one epoch; as it is written it takes about a quarter of an hour.
QUICK = {"limit=64": "limit=2", '"cifar10-1k", "pgd20")': '"cifar10-1k", "pgd20", limit=8)', 'budget="10m"': "epochs=1"}


@pytest.fixture
def names(tmp_path, monkeypatch):
    """In a person's folder: pictures in class folders, one more, and results of an evaluation."""
    monkeypatch.chdir(tmp_path)
    data = az.load_data("cifar10-1k")
    for kind in ("cat", "ship"):
        (Path("mydir") / kind).mkdir(parents=True)
        for number in np.flatnonzero(data.labels == data.classes.index(kind))[:10]:
            Image.fromarray(data.images[number].transpose(1, 2, 0)).save(Path("mydir") / kind / f"{number}.png")
    Image.fromarray(data.images[0].transpose(1, 2, 0)).save("cat.jpg")
    az.evaluate("p1f4", "cifar10-1k", "clean", limit=8, out="runs/eval/p1f4")
    return {}


def shown() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    return block


def check_outcome(names):
    assert 0 <= names["result"].ra <= names["result"].ta <= 1
    assert (names["x_adv"] - names["images"]).abs().max() <= 8 / 255 + 1e-6
    assert names["run"].model.classes == ("cat", "ship")
    assert Path("report.html").is_file()
    assert Path("model.onnx").is_file()


def test_what_is_shown_runs_on_fewer_images(names, monkeypatch):
    few, standard = {"iterations": 2, "queries": 4}, driver.constants
    monkeypatch.setattr(driver, "constants", lambda name, norm, classes, *_: standard(name, norm, classes, **few))
    block = shown()
    for text, smaller in QUICK.items():
        assert text in block
        block = block.replace(text, smaller)
    exec(block, names)
    check_outcome(names)


@pytest.mark.nightly
def test_what_is_shown_runs_as_it_is_written(names):
    exec(shown(), names)
    check_outcome(names)


def test_the_reference_is_what_the_docstrings_say():
    """Written by `python tests/docs_api.py`."""
    assert (DOCS / "api.md").read_text() == render()


@pytest.mark.parametrize("name", [name for name in az.__all__ if not name.startswith("__")])
def test_everything_public_is_documented_and_typed(name):
    found = getattr(az, name)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        assert all(
            each.annotation is not inspect.Parameter.empty for each in inspect.signature(found).parameters.values()
        )
