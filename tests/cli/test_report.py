"""`advss report`: a page from folders, and what is said of what is not in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from results_page import fabricated

from advss_zoo.zoo import index

Advss = Callable[..., Any]


def test_a_page_is_made_of_what_lies_below_folders(advss: Advss) -> None:
    fabricated.result(Path("runs/eval/deep"))
    fabricated.run(Path("more"))
    status, stdout, stderr = advss("report", "runs", "more")
    assert (status, stdout, stderr) == (0, "report.html\n", "")
    page = Path("report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "1 result of 1 model" in page
    assert "1 training run." in page


def test_the_page_and_figures_go_where_they_should(advss: Advss) -> None:
    fabricated.clean(Path("runs"))
    fabricated.run(Path("runs"))
    status, stdout, stderr = advss("report", "runs", "--html", "new/page.html", "--figures", "pictures")
    assert (status, stdout, stderr) == (0, "new/page.html\n", "4 figure files, SVG and PNG: pictures\n")
    assert Path("new/page.html").is_file()
    assert len(list(Path("pictures").iterdir())) == 4


def test_checkpoints_of_the_zoo_go_by_name(advss: Advss) -> None:
    assert advss("report", "p1f4.mini").status == 0
    page = Path("report.html").read_text()
    assert f"{100 * index.find('p1f4.mini').ra:.2f}" in page
    assert "advss eval p1f4.mini --attack clean,pgd20 --data cifar10" in page


def test_what_cannot_be_read_is_named(advss: Advss) -> None:
    fabricated.clean(Path("runs"))
    Path("runs/bad").mkdir()
    Path("runs/bad/result.json").write_text("{")
    status, stdout, stderr = advss("report", "runs")
    assert (status, stdout) == (0, "report.html\n")
    assert stderr.startswith("Left out: runs/bad/result.json is not valid JSON")


def test_nothing_readable_is_a_failure(advss: Advss) -> None:
    Path("runs").mkdir()
    Path("runs/result.json").write_text("{")
    status, stdout, stderr = advss("report", "runs")
    assert (status, stdout) == (1, "")
    assert "Error: The results there cannot be read." in stderr
    assert "runs/result.json" in stderr
    assert not Path("report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "DIR"), (["."], "contains no result.json or log.jsonl"), (["p1f4.mimi"], "Did you mean p1f4.mini")],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], says: str, advss: Advss) -> None:
    status, stdout, stderr = advss("report", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr


def test_a_page_that_cannot_be_written_is_a_failure(advss: Advss) -> None:
    fabricated.clean(Path("runs"))
    Path("page").mkdir()
    status, _, stderr = advss("report", "runs", "--html", "page")
    assert status == 1
    assert "Cannot write page" in stderr
