"""torch.hub: one entry point a checkpoint, working with nothing but the declared dependencies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from advss_zoo.zoo import index
from advss_zoo.zoo.load import load_model

REPOSITORY = str(Path(__file__).resolve().parents[1])
NAMES = sorted({entry.name for entry in index.entries()})


def test_one_entry_point_a_checkpoint():
    assert sorted(torch.hub.list(REPOSITORY, source="local")) == [name.replace("-", "_") for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_as_load_model(name):
    loaded = torch.hub.load(REPOSITORY, name.replace("-", "_"), source="local")
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), load_model(name)(x))
    assert name in torch.hub.help(REPOSITORY, name.replace("-", "_"), source="local")


def test_a_tag_or_random_weights():
    entry = index.entries()[0]
    tagged = torch.hub.load(REPOSITORY, entry.name.replace("-", "_"), source="local", weights=entry.tag)
    assert sum(parameter.numel() for parameter in tagged.parameters()) == entry.parameters
    random = torch.hub.load(REPOSITORY, entry.name.replace("-", "_"), source="local", weights=None)
    assert sum(parameter.numel() for parameter in random.parameters()) == 23_516_874


ONLY_DECLARED = """
import sys
import torch  # with what torch itself needs

allowed = set(sys.modules) | set(sys.stdlib_module_names) | {"advss_zoo", "hubconf"}
for dependency in ("numpy", "pydantic", "safetensors"):
    __import__(dependency)
    allowed |= {name.partition(".")[0] for name in sys.modules}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"{name} is not a declared dependency")

sys.meta_path.insert(0, Blocked())
model = torch.hub.load(sys.argv[1], "p1f4", source="local")
print(tuple(model(torch.rand(2, 3, 32, 32)).shape))
"""


def test_nothing_beyond_the_declared_dependencies_is_imported():
    found = subprocess.run(
        [sys.executable, "-c", ONLY_DECLARED, REPOSITORY], capture_output=True, text=True, cwd="/", check=False
    )
    assert found.stdout.strip() == "(2, 10)", found.stderr
