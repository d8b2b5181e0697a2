"""Results as a table."""

from __future__ import annotations

import math
import sys

import pytest
from results_page import fabricated

import advss_zoo
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.results import Result


def test_a_row_a_result(tmp_path):
    pytest.importorskip("pandas")
    attacked = Result.read(fabricated.result(tmp_path / "one", name="a"))
    fabricated.clean(tmp_path / "many", name="b")
    fabricated.corruptions(tmp_path / "many", name="c")
    frame = advss_zoo.results_frame([attacked, tmp_path / "many"])
    assert frame["model"].tolist() == ["a", "b", "c"]
    first, second, third = frame.to_dict("records")
    assert (first["protocol"], first["n"], first["ta"], first["ra"]) == ("pgd20", 40, 0.75, 0.4)
    assert (first["norm"], first["eps"]) == ("linf", 8 / 255)
    assert (first["ra_low"], first["ra_high"]) == attacked.ra_ci95
    assert first["folder"] == str(attacked.folder)
    assert math.isnan(second["ra"])
    assert math.isnan(second["ra_low"])
    assert 0 < third["corruption_accuracy"] < 1


def test_a_folder_without_results(tmp_path):
    pytest.importorskip("pandas")
    with pytest.raises(UsageError, match=r"empty contains no result\.json"):
        advss_zoo.results_frame([tmp_path / "empty"])
    for alone in (tmp_path / "empty", str(tmp_path / "empty")):
        with pytest.raises(UsageError, match=r"empty contains no result\.json"):
            advss_zoo.results_frame(alone)
        with pytest.raises(AdvssError, match="empty"):
            advss_zoo.report(alone, tmp_path / "report.html")


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas") as caught:
        advss_zoo.results_frame([])
    assert caught.value.hint == "Run `pip install pandas`."
