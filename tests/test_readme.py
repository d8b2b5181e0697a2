"""The README is short, and what it tells people to type works as it is written."""

from __future__ import annotations

import tomllib

import docs_api
import yaml
from readme import DOCS, README, blocks
from test_pages import shell

from advss_zoo import list_models, resources


def test_it_is_short_and_begins_with_a_command_and_a_picture():
    lines = README.read_text().splitlines()
    assert len(lines) <= 130
    screen = "\n".join(lines[:20])
    assert blocks("run")[0] in screen
    assert "](docs/robust.png)" in screen


def test_the_first_command_measures_the_robust_accuracy_of_the_default_classifier(tmp_path):
    """On fewer images; continuous integration runs it as it is written, from the wheel."""
    *installing, measuring = blocks("run")[0].split(" && ")
    assert installing == ["python3 -m venv .venv", ".venv/bin/pip install -e ."]
    ended = shell(f"{measuring.replace('.venv/bin/advss', 'advss')} --limit 64", tmp_path)
    assert ended.returncode == 0, ended.stderr
    heading, values = (line.split("\t") for line in ended.stdout.splitlines())
    measured = dict(zip(heading, values, strict=True))
    assert (measured["data"], measured["n"]) == ("cifar10-1k", "64")
    assert float(measured["TA"]) > 60
    assert float(measured["RA"]) > 30


def test_the_tables_of_the_zoo_are_up_to_date():
    """As `python tests/docs_api.py` writes them."""
    for page, table in docs_api.tables().items():
        assert f"<!-- zoo -->\n\n{table}\n\n" in page.read_text()
    assert all(name in (DOCS / "zoo.md").read_text() for name in list_models())


def test_the_numbers_of_other_libraries_are_those_of_the_page_on_speed():
    shown = README.read_text().split("## Why trust the numbers")[1].split("\n\n")[2].splitlines()[2:]
    measured = (DOCS / "speed.md").read_text()
    for line in shown:
        library, ra, differ = (cell.strip() for cell in line.split("|")[3:6])
        assert f"| {library.replace('another seed', 'seed 1')} | {ra} | {differ} |" in measured


def test_the_citation_and_the_package_name_one_repository():
    project = tomllib.loads((resources.CHECKOUT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((resources.CHECKOUT / "CITATION.cff").read_text())
    assert cited["repository-code"] == project["urls"]["Source"]
    assert f"({project['urls']['Source']}/actions/workflows/tests.yml)" in README.read_text()
    assert cited["license"] == project["license"]
    paper = cited["references"][0]
    assert paper["title"] in README.read_text()
