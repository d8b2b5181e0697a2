"""`advss suite`: tables, a plan, comparisons and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Advss = Callable[..., Any]

SUITE = """
models: [p1f4.mini, p1f3.mini]
evaluations:
  - {protocols: [clean], limit: 16}
"""


def test_a_suite_is_planned_run_and_compared(advss: Advss, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(SUITE)
    status, stdout, stderr = advss("suite", "my.yaml", "--dry-run")
    assert status == 0
    assert stdout.splitlines()[1].startswith("p1f4.mini\tcifar10-1k\t16\tclean\t")
    assert "on a free machine" in stderr
    outcome = advss("suite", "my.yaml", "--compare", "--json")
    found = outcome.json
    assert outcome.status == 0
    assert [result["model"]["name"] for result in found["results"]] == ["p1f4.mini", "p1f3.mini"]
    (comparison,) = found["comparisons"]
    assert (comparison["one"], comparison["other"], comparison["metric"]) == ("p1f4.mini", "p1f3.mini", "TA")
    assert found["out"] == str(Path("runs", "suites", "my"))
    status, stdout, stderr = advss("suite", "my.yaml", "--compare", "--html", "page.html")
    assert status == 0
    assert "could be chance" in stdout or "yes" in stdout
    assert "Report: page.html" in stderr
    assert "p1f3.mini" in Path("page.html").read_text()
    assert advss("suite", "my.yaml", "--dry-run", "--json").json["seconds"] == 0
