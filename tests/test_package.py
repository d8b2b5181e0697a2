"""The package as a whole: light to import, and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest

import advss_zoo


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, advss_zoo; advss_zoo.list_models();"
        "print(*{'torch', 'numpy', 'pydantic', 'typer', 'rich'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_the_training_path_needs_neither_the_command_line_nor_the_hub():
    code = "import sys, advss_zoo.training.trainer;print(*{'typer', 'rich', 'huggingface_hub'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_public_names_exist():
    for name in advss_zoo.__all__:
        assert getattr(advss_zoo, name)
    with pytest.raises(AttributeError):
        _ = advss_zoo.nothing
