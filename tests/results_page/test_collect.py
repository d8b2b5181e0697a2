"""Which results and runs are found, and which are left out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from results_page import fabricated

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.results import Result
from advss_zoo.results_page.collect import collect, folder_of
from advss_zoo.results_page.report_data import ReportData, comparable
from advss_zoo.zoo import index


def test_results_are_found_at_any_depth_and_each_once(tmp_path: Path) -> None:
    first = fabricated.result(tmp_path / "a" / "b" / "c")
    shutil.copytree(first.parent, tmp_path / "copy")
    fabricated.result(tmp_path / "d", name="p1f3.mini")
    fabricated.result(tmp_path / "d", n=20)
    found = collect([tmp_path, tmp_path / "a"])
    assert sorted((e.model.name, e.n) for e in found.evaluations) == [
        *[("p1f3.mini", 40), ("p1f4.mini", 20), ("p1f4.mini", 40)]
    ]


def test_of_two_copies_the_one_with_images_is_taken(tmp_path: Path) -> None:
    path = fabricated.saved(tmp_path / "z")
    shutil.copytree(path.parent, tmp_path / "a", ignore=shutil.ignore_patterns("*.safetensors"))
    assert [e.folder for e in collect([tmp_path]).evaluations] == [path.parent]


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    fabricated.clean(tmp_path / "good")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("no json\n")
    (tmp_path / "other\x1b[31m").mkdir()
    (tmp_path / "other\x1b[31m" / "log.jsonl").write_text('{"step": -1, "epoch": 0}\n')
    found = collect([tmp_path])
    assert (len(found.evaluations), len(found.runs), len(found.left_out)) == (1, 0, 3)
    for part in ("broken/result.json", "run/log.jsonl", "other�[31m/log.jsonl"):
        assert sum(part in reason for reason in found.left_out) == 1


def test_a_log_ends_with_its_last_whole_line(tmp_path: Path) -> None:
    fabricated.run(tmp_path, "deep/p1f4.mini")
    (run,) = collect([tmp_path]).runs
    assert (run.name, len(run.records)) == ("deep/p1f4.mini", 43)
    (alone,) = collect([tmp_path / "deep" / "p1f4.mini"]).runs
    assert alone.name == "p1f4.mini"


def test_a_run_may_lie_in_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    fabricated.run(tmp_path, os.fsdecode(b"run\xff"))
    (run,) = collect([tmp_path]).runs
    run.name.encode()
    assert run.name.startswith("run")


def test_nothing_readable_is_an_error_and_nothing_at_all_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"contains no result\.json or log\.jsonl"):
        collect([tmp_path])
    with pytest.raises(UsageError, match=r"^No folders were given\."):
        collect([])
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(AdvssError, match="cannot be read") as caught:
        collect([tmp_path])
    assert caught.value.exit_code == 1
    fabricated.clean(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    found = collect([tmp_path / "full", tmp_path / "empty"])
    assert (len(found.evaluations), len(found.left_out)) == (1, 1)
    assert found.left_out[0].startswith(f"{tmp_path / 'empty'} contains no")


def test_names_stand_for_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()  # with the real cards
    monkeypatch.chdir(tmp_path)
    assert folder_of("p1f4.mini").name == "p1f4.mini"
    (tmp_path / "p1f4.mini").mkdir()
    assert folder_of("p1f4.mini") == Path("p1f4.mini")
    with pytest.raises(UsageError, match="not a folder or a checkpoint") as caught:
        folder_of("p1f4.mimi")
    assert "Did you mean" in str(caught.value.hint)


def test_epochs_come_from_a_checkpoint_beside_or_in_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fabricated.result(tmp_path)
    (evaluation,) = collect([tmp_path]).evaluations
    assert collect([tmp_path]).epochs(evaluation) is None
    config = fabricated.config(path.parent, evaluation.model.sha256, ("a", "b"))
    assert collect([tmp_path]).epochs(evaluation) == 32.0
    assert collect([tmp_path]).classes(evaluation) == ("a", "b")
    config.write_text("{}")
    assert collect([tmp_path]).epochs(evaluation) is None
    monkeypatch.undo()
    entry = index.find("p1f4.mini")
    known = evaluation.model_copy(update={"model": evaluation.model.model_copy(update={"sha256": entry.sha256})})
    assert collect([tmp_path]).epochs(known) == entry.training["epochs"]


def test_namesakes_are_told_apart_by_their_weights(tmp_path: Path) -> None:
    fabricated.clean(tmp_path)
    fabricated.clean(
        tmp_path, model={"name": "p1f4.mini", "sha256": None, "weights_sha256": "abcdef0123"}, fingerprint=""
    )
    fabricated.clean(tmp_path, name="other")
    report_data = ReportData(collect([tmp_path]))
    assert [report_data.name(e) for e in report_data.evaluations] == [
        *["other", "p1f4.mini (" + fabricated.sha256_of("weights of p1f4.mini")[:7] + ")", "p1f4.mini (abcdef0)"]
    ]
    assert len({report_data.look(e).colour for e in report_data.evaluations}) == 3


def test_results_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for steps in (10, 2, 1, 20):
        fabricated.result(tmp_path, fabricated.pgd(steps))
    fabricated.result(tmp_path, {**fabricated.pgd(), "label": "9" * 10_000})
    labels = [e.protocol.label for e in ReportData(collect([tmp_path])).evaluations]
    assert labels[1:] == ["pgd1", "pgd2", "pgd10", "pgd20"]


def test_results_are_not_compared_with_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of results that would take minutes."""
    monkeypatch.setattr(Result, "__eq__", lambda self, other: pytest.fail("compared"))
    data = ReportData(collect([fabricated.everything(tmp_path)]))
    assert len(data.origins(data.evaluations)) == len(data.evaluations)
    assert sum(map(len, comparable(data.evaluations))) <= len(data.evaluations)
