"""No import runs upwards: what is below does not know what is above it, however late it asks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# From the bottom up. A part may import those of the layers below its own; parts of one layer do not know each other.
# An import inside a function counts, and so does one for types alone.
LAYERS = (
    ("documents", "errors", "process", "noise", "progress", "registry", "resources", "seeds", "version"),
    ("files", "network", "plain_yaml", "texts"),
    ("data", "threat"),  # a `Model` says which threat model it was trained for; the attacks are above the models
    ("models",),
    ("attacks",),
    ("adversaries", "deploy", "objectives"),
    ("evaluation", "zoo"),
    ("training",),
    ("reproduction",),
    ("results_page",),
    ("workflows",),
    ("",),  # advss_zoo itself, the public functions
    ("cli",),
    ("__main__",),
)
# Imports that run upwards all the same, each with its reason. Empty, and to stay so.
EXCEPTIONS: dict[tuple[str, str], str] = {}

LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "advss_zoo").rglob("*.py"))
}


def part_of(module: str) -> str:
    """The package or module directly below advss_zoo that a module belongs to; advss_zoo itself is ""."""
    return [*module.split("."), ""][1]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def test_every_part_has_its_layer():
    assert {part_of(module) for module in MODULES} == set(LEVEL)


def test_no_import_runs_upwards():
    upwards = []
    for module, path in MODULES.items():
        for imported in imports(path):
            if imported.split(".")[0] != "advss_zoo":
                continue
            below, above = part_of(imported), part_of(module)
            if below != above and LEVEL[below] >= LEVEL[above] and (module, imported) not in EXCEPTIONS:
                upwards.append(f"{module} -> {imported}")
    assert upwards == []
