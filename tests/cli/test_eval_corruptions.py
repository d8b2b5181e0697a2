"""What `advss eval --attack corruptions` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Advss = Callable[..., Any]

ARGUMENTS = ["eval", "p1f4.mini", "--attack", "corruptions", "--limit", "8"]


def test_the_accuracy_on_corrupted_images_has_columns_of_its_own(advss: Advss) -> None:
    status, stdout, stderr = advss(*ARGUMENTS, "--attack", "clean")
    assert status == 0
    heading, *rows = (line.split("\t") for line in stdout.splitlines())
    corrupted, clean = (dict(zip(heading, row, strict=True)) for row in rows)
    assert corrupted["protocol"] == "corruptions"
    assert 0 < float(corrupted["corrupted"]) < 100
    assert " to " in corrupted["corrupted 95%"]
    assert corrupted["RA"] == clean["corrupted"] == ""
    assert corrupted["TA"] == clean["TA"]
    lines = stderr.splitlines()
    tables = [line for line in lines if len(line.split()) == 7 and "." in line.split()[1]]
    assert len(tables) == 19
    assert max(map(len, tables)) <= 60
    assert sum(line.split()[0].startswith("*") for line in tables) == 4


def test_json_has_every_corruption_and_severity(advss: Advss) -> None:
    (result,) = advss(*ARGUMENTS, "--json").json["results"]
    assert (result["protocol"], result["constants"]["source"], result["ra"]) == ("corruptions", "generated", None)
    details = result["details"]
    assert [len(accuracies) for accuracies in details["corruptions"].values()] == [5] * 19
    low, high = details["corruption_accuracy_ci95"]
    assert 0 <= low <= details["corruption_accuracy"] <= high <= 1


@pytest.mark.parametrize("attack", ["clean", "pgd1"])
def test_other_tables_stay_as_they_are(attack: str, advss: Advss) -> None:
    _, stdout, _ = advss("eval", "p1f4.mini", "--attack", attack, "--limit", "8")
    assert "corrupted" not in stdout


def test_an_archive_that_is_missing_is_a_sentence(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADVSS_DATA", raising=False)
    status, stdout, stderr = advss("eval", "p1f4.mini", "--attack", "corruptions-archive", "--limit", "8")
    assert (status, stdout) == (1, "")
    assert "CIFAR-10-C is not on this machine" in stderr
    assert "ADVSS_DATA" in stderr


def test_a_baseline_makes_an_mce(advss: Advss) -> None:
    """That of a model against itself is 100; against one that makes half of its mistakes it would be 200."""
    arguments = ["eval", "p1f4.mini", "--attack", "corruptions", "--limit", "8", "--out", "mine"]
    assert advss(*arguments).status == 0
    found = advss(*arguments, "--baseline", "mine")
    assert found.status == 0
    assert "corruptions: mCE 100.00 against p1f4.mini" in found.stderr
    assert advss(*arguments, "--baseline", "mine", "--json").json["mce"] == {"corruptions": 1.0}
    other = advss("eval", "p1f4.mini", "--attack", "corruptions", "--limit", "12", "--baseline", "mine")
    assert (other.status, other.stdout) == (2, "")
    assert "mine contains no result of corruptions on these images." in other.stderr
    assert "--baseline DIR" in other.stderr


def test_a_baseline_by_name_is_its_card_cut_to_these_images(advss: Advss) -> None:
    """Cards tell of all 10,000 test images. An own evaluation on these few gives the same mCE."""
    corruptions = ["--attack", "corruptions", "--limit", "12"]
    assert advss("eval", "p1f3.mini", *corruptions, "--out", "theirs").status == 0
    by_name, by_short_name, by_folder = (
        advss("eval", "p1f4.mini", *corruptions, "--baseline", baseline, "--out", "mine", "--json")
        for baseline in ("p1f3.mini", "p1f3", "theirs")
    )
    assert by_name.status == by_short_name.status == by_folder.status == 0
    assert by_name.json["mce"] == by_short_name.json["mce"]
    assert by_name.json["mce"]["corruptions"] == pytest.approx(by_folder.json["mce"]["corruptions"], rel=0.02)
    assert "against p1f3.mini" in by_name.stderr
    assert "against p1f3.mini" in by_short_name.stderr


def test_a_baseline_without_mistakes_makes_no_mce_and_loses_nothing(advss: Advss) -> None:
    """The first image is classified correctly at all severities of some corruption."""
    arguments = ["eval", "p1f4.mini", "--attack", "corruptions", "--limit", "1", "--out", "mine"]
    table = advss(*arguments).stdout
    status, stdout, stderr = advss(*arguments, "--baseline", "mine")
    assert (status, stdout) == (0, table)
    assert "p1f4.mini makes no errors under" in stderr
    assert "mce" not in advss(*arguments, "--baseline", "mine", "--json").json


def test_a_baseline_without_corruptions_is_a_sentence(advss: Advss) -> None:
    status, stdout, stderr = advss("eval", "p1f4.mini", "--attack", "clean", "--limit", "4", "--baseline", "p1f3.mini")
    assert (status, stdout) == (2, "")
    assert "--baseline needs the protocol corruptions. Add --attack corruptions." in " ".join(stderr.split())
