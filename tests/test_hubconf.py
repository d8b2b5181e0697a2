"""torch.hub: one entry point a checkpoint, working with nothing but the declared dependencies."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from advss_zoo import load_model, load_trunk
from advss_zoo.zoo import index

REPOSITORY = str(Path(__file__).resolve().parents[1])
HUBCONF = runpy.run_path(f"{REPOSITORY}/hubconf.py")
NAMES = sorted({entry.name for entry in index.entries()})


def test_one_entry_point_a_checkpoint():
    """As torch.hub does it: every public callable is one."""
    found = [name for name, value in HUBCONF.items() if callable(value) and not name.startswith("_")]
    assert sorted(found) == [name.replace("-", "_") for name in NAMES]
    assert set(HUBCONF["dependencies"]) == {"huggingface_hub", "numpy", "pydantic", "safetensors", "torch"}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_as_load_model(name):
    loaded = torch.hub.load(REPOSITORY, name.replace("-", "_"), source="local")
    same = (load_trunk if index.find(name).kind == "trunk" else load_model)(name)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), same(x))
    assert f"{name}." in HUBCONF[name.replace("-", "_")].__doc__


def test_a_tag_or_random_weights():
    entry = next(entry for entry in index.entries() if entry.kind == "classifier")
    tagged = torch.hub.load(REPOSITORY, entry.name.replace("-", "_"), source="local", weights=entry.tag)
    assert sum(parameter.numel() for parameter in tagged.parameters()) == entry.parameters
    random = torch.hub.load(REPOSITORY, entry.name.replace("-", "_"), source="local", weights=None)
    assert sum(parameter.numel() for parameter in random.parameters()) == 23_516_874


ONLY_DECLARED = """
import re, sys
from importlib.metadata import packages_distributions, requires

def with_their_own(names, found):
    for name in names - found:
        found.add(name)
        try:
            needed = [line for line in requires(name) or [] if "extra ==" not in line]
        except ImportError:  # a requirement of another platform
            continue
        with_their_own({re.match(r"[\\w.-]+", line)[0].lower().replace("_", "-") for line in needed}, found)
    return found

distributions = with_their_own({name.replace("_", "-") for name in sys.argv[2:]}, set())
allowed = {
    package for package, owners in packages_distributions().items()
    if distributions & {owner.lower().replace("_", "-") for owner in owners}
} | set(sys.stdlib_module_names) | {"advss_zoo", "hubconf"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not a declared dependency")

sys.meta_path.insert(0, Blocked())
assert not allowed & {"typer", "scipy", "PIL", "matplotlib", "rich"}
import torch
model = torch.hub.load(sys.argv[1], "p1f4", source="local")
print(tuple(model(torch.rand(2, 3, 32, 32)).shape))
import advss_zoo.zoo.hub  # for a checkpoint that lies there alone
"""


def test_nothing_beyond_the_declared_dependencies_is_imported():
    command = [sys.executable, "-c", ONLY_DECLARED, REPOSITORY, *HUBCONF["dependencies"]]
    found = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert (found.stdout.strip(), found.returncode) == ("(2, 10)", 0), found.stderr
