"""What a release is: a wheel, made from the source distribution, that works where nothing else is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import advss_zoo
from advss_zoo.zoo import index

ROOT = Path(__file__).parents[1]
MOST_BYTES = 15_000_000
VERSION = advss_zoo.__version__


def run(*command: str | Path, cwd: Path) -> str:
    """In a process of its own, without a network and without what pip and Python are told by the environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "ADVSS_"))}
    offline = {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "PIP_CONFIG_FILE": os.devnull}
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment | offline, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that `python -m build` filled; the wheel in it was made from the source distribution in it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """An environment of the wheel and of what it says it needs, and of nothing else that is installed here."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for needed in _needed(_metadata(wheel)):
        for top in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(needed.locate_file(top))).resolve())
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-compile", wheel, cwd=folder)
    return folder


def _metadata(wheel: Path) -> str:
    return zipfile.ZipFile(wheel).read(f"advss_zoo-{VERSION}.dist-info/METADATA").decode()


def _needed(metadata: str) -> Iterable[Distribution]:
    """All distributions of this environment that one needs, directly or through others."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    _collect(re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE), frozenset(), found)
    return found.values()


def _collect(
    lines: Iterable[str], extras: frozenset[str], found: dict[tuple[str, frozenset[str]], Distribution]
) -> None:
    """`lines` are the requirements of a distribution of which these extras were asked for."""
    for requirement in map(Requirement, lines):
        key = (requirement.name, frozenset(requirement.extras))
        marker = requirement.marker
        if key in found or (marker and not any(marker.evaluate({"extra": extra}) for extra in {"", *extras})):
            continue
        found[key] = distribution(requirement.name)
        _collect(found[key].requires or (), key[1], found)


def test_the_wheel_holds_what_the_package_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    package = {name.removeprefix("advss_zoo/") for name in names if name.startswith("advss_zoo/")}
    for entry in index.entries():
        assert {f"cards/{entry.full_name}.md", f"cards/{entry.full_name}.json"} <= package
        assert (f"bundled/{entry.full_name}/config.json" in package) == (entry.stored == "bundled")
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.yaml")}
    assert recipes == {name for name in package if name.endswith(".yaml") and name.startswith("recipes/")}
    assert {path.parts[0] for path in map(Path, names)} == {"advss_zoo", f"advss_zoo-{VERSION}.dist-info"}
    assert f"advss_zoo-{VERSION}.dist-info/licenses/LICENSE" in names
    assert "py.typed" in package
    assert not [name for name in names if "__pycache__" in name or Path(name).name.startswith(".")]
    sources = {path.relative_to(ROOT / "advss_zoo").as_posix() for path in (ROOT / "advss_zoo").rglob("*.py")}
    assert sources == {name for name in package if name.endswith(".py")}
    assert wheel.stat().st_size <= MOST_BYTES


def test_the_source_distribution_holds_what_the_wheel_is_made_of(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {Path(*Path(member.name).parts[1:]).as_posix() for member in archive if member.isfile()}
    tops = {name.partition("/")[0] for name in names}
    assert tops == {
        *("advss_zoo", "cards", "recipes", "pyproject.toml", "PKG-INFO", ".gitignore"),
        *("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"),
    }
    assert path.stat().st_size <= MOST_BYTES


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_archives_of_the_repository_leave_the_large_weights_out(tmp_path):
    """A repository with our attributes and a file in each folder of ours, as `git archive` packs it for torch.hub."""
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert "weights" in folders
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    for name in folders:
        (tmp_path / name / "inside").mkdir(parents=True)
        (tmp_path / name / "inside" / "model.safetensors").write_bytes(b"weights")
    run("git", "init", "--quiet", cwd=tmp_path)
    run("git", "add", "--force", ".", cwd=tmp_path)
    tree = run("git", "write-tree", cwd=tmp_path).strip()
    run("git", "archive", "--output", "archive.tar", tree, cwd=tmp_path)
    with tarfile.open(tmp_path / "archive.tar") as archive:
        tops = {name.partition("/")[0] for name in archive.getnames()}
    assert tops == {*folders, ".gitattributes"} - {"weights"}


def test_there_is_one_version(wheel):
    assert wheel.name == f"advss_zoo-{VERSION}-py3-none-any.whl"
    assert f"\nVersion: {VERSION}\n" in _metadata(wheel)
    released = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] in ("Unreleased", VERSION)
    assert VERSION in released
    spelt = [path for path in ROOT.glob("*.toml") if re.search(rf"version *= *.{re.escape(VERSION)}", path.read_text())]
    assert spelt == []


def test_a_clean_environment_has_only_what_the_wheel_asks_for(clean):
    code = (
        "import advss_zoo, importlib.util as u; print(advss_zoo.__file__, u.find_spec('pytest'), u.find_spec('ruff'))"
    )
    where, *others = run(clean / "bin" / "python", "-c", code, cwd=clean).split()
    assert Path(where).is_relative_to(clean)
    assert others == ["None", "None"]


def test_the_first_command_works_there_without_a_network(clean):
    """That of the README, on the first images; with its own command line."""
    out = run(clean / "bin" / "advss", "eval", "--attack", "pgd20", "--limit", "8", cwd=clean)
    heading, values = (line.split("\t") for line in out.splitlines())
    measured = dict(zip(heading, values, strict=True))
    assert (measured["data"], measured["n"]) == ("cifar10-1k", "8")
    assert 0 <= float(measured["RA"]) <= float(measured["TA"]) <= 100


def test_cards_and_recipes_are_found_there(clean):
    assert "# p1f4.mini" in run(clean / "bin" / "advss", "show", "p1f4", cwd=clean)
    assert "epochs" in run(clean / "bin" / "advss", "train", "p1f4.mini", "--dry-run", cwd=clean)


MORE_RIGHTS = {
    "publish": {"publish": {"id-token": "write"}},
    "site": {"publish": {"pages": "write", "id-token": "write"}},
}


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_may_read_alone_and_name_the_versions_of_actions(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert granted == MORE_RIGHTS.get(path.stem, {})
    called = [job["uses"] for job in workflow["jobs"].values() if "uses" in job]
    assert called == (["./.github/workflows/tests.yml"] if path.stem == "publish" else [])
    jobs = [job for job in workflow["jobs"].values() if "uses" not in job]
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v\d+", name) for name in used)
    assert all("timeout-minutes" in job for job in jobs)


def test_what_is_published_is_what_was_tried():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text())["jobs"]
    steps = jobs["build"]["steps"]
    commands = [step.get("run", "") for step in steps]
    (built,) = [number for number, command in enumerate(commands) if "python -m build" in command]
    (installed,) = [number for number, command in enumerate(commands) if "pip install dist/*.whl" in command]
    (tried,) = [number for number, command in enumerate(commands) if "/tmp/clean/bin/advss eval" in command]
    (handed_on,) = [number for number, step in enumerate(steps) if "upload-artifact" in step.get("uses", "")]
    assert built < installed <= tried < handed_on
    assert not any("build" in step.get("run", "") for step in jobs["publish"]["steps"])
    assert steps[handed_on]["with"]["name"] == jobs["publish"]["steps"][0]["with"]["name"]


def test_what_is_published_has_been_tested_on_three_pythons():
    tests, publish = (
        yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text()) for name in ("tests", "publish")
    )
    assert tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert publish["jobs"]["publish"]["needs"] == ["tests", "build"]
    assert publish["jobs"]["publish"]["environment"] == "pypi"
