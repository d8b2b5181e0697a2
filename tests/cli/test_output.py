"""The modes of `out` side by side."""

from __future__ import annotations

import json
import sys

import pytest

from advss_zoo.cli.output import Output, Progress, size

ROWS = [{"name": "p1f4.mini", "TA": "70.10"}, {"name": "a\tb", "TA": ""}]


class Terminal:
    """A stream that claims to be a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True)


@pytest.fixture
def out() -> Output:
    return Output()


def test_a_table_is_tab_separated_in_a_pipe(out: Output, capsys: pytest.CaptureFixture[str]) -> None:
    out.table(ROWS, document=None)
    assert capsys.readouterr() == ("name\tTA\np1f4.mini\t70.10\na b\t\n", "")


def test_a_table_is_one_json_document_with_json(out: Output, capsys: pytest.CaptureFixture[str]) -> None:
    out.json = True
    out.table(ROWS, document=[{"name": "p1f4.mini", "ta": 0.701}])
    assert json.loads(capsys.readouterr().out) == [{"name": "p1f4.mini", "ta": 0.701}]


@pytest.mark.parametrize("columns", ["40", "60", "100"])
def test_a_table_keeps_cells_whole_however_narrow_the_terminal(
    columns: str, out: Output, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    Terminal(monkeypatch, "stdout")
    rows = [
        {"name": name, "kind": "classifier", "TA": "70.10", "note": "a long note of many words " * 3}
        for name in ("p1f4.mini", "ensemble-p3f4.mini")
    ]
    out.table(rows, document=None)
    lines = capsys.readouterr().out.splitlines()
    for name in ("p1f4.mini", "ensemble-p3f4.mini"):
        row = next(line for line in lines if name in line)
        assert ("classifier" in row) == (columns != "40")  # a row a line, or where that does not fit a cell a line
    if columns != "40":
        assert max(map(len, lines[1:])) <= int(columns)


def test_an_empty_table_is_nothing_or_an_empty_list(out: Output, capsys: pytest.CaptureFixture[str]) -> None:
    out.table([], document=[])
    assert capsys.readouterr().out == ""
    out.json = True
    out.table([], document=[])
    assert capsys.readouterr().out == "[]\n"


def test_a_line_gives_way_to_its_document(out: Output, capsys: pytest.CaptureFixture[str]) -> None:
    out.line("/some/folder", document={"path": "/some/folder"})
    assert capsys.readouterr().out == "/some/folder\n"
    out.json = True
    out.line("/some/folder", document={"path": "/some/folder"})
    out.line("only for people")
    assert json.loads(capsys.readouterr().out) == {"path": "/some/folder"}


def test_json_never_holds_nan(out: Output) -> None:
    out.json = True
    with pytest.raises(ValueError, match="JSON"):
        out.line("", document={"ra": float("nan")})


def test_all_but_data_goes_to_stderr(out: Output, capsys: pytest.CaptureFixture[str]) -> None:
    out.hint("a hint")
    out.error("it broke", "mend it")
    assert capsys.readouterr() == ("", "a hint\nError: it broke\nmend it\n")


def test_colours_only_on_a_terminal_that_wants_them(
    out: Output, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Terminal(monkeypatch, "stderr")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out.error("it broke")
    assert "\033[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    out.error("it broke")
    assert "\033[" not in capsys.readouterr().err


class Clock:
    """time.monotonic under the test's control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_progress_in_a_log_is_a_line_every_ten_seconds_and_a_last_one(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("pgd20", "images") as progress:
        for done in range(0, 2501, 100):  # 100 images a second
            progress(done, 2500)
            clock.now += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "pgd20: 1,000/2,500 images, 100/s, 15 s left",
        "pgd20: 2,000/2,500 images, 100/s, 5 s left",
        "pgd20: 2,500/2,500 images, 100/s",
    ]


def test_a_log_says_at_once_what_is_begun(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("autoattack", "images") as progress:
        progress(0, 128)
        for attack in ("apgd-ce", "apgd-t", "fab-t"):
            progress(0, 128, attack)
            clock.now += 6
        assert capsys.readouterr().err.splitlines() == [
            "autoattack: 0/128 images, apgd-ce",
            "autoattack: 0/128 images, fab-t",
        ]


def test_of_several_processes_one_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    output = Output()
    with output.steps() as progress:
        progress("autoattack", "images", 0, 1, "apgd-ce")
        progress("autoattack", "images", 1, 1, "")
    output.hint("done")
    output.table([{"RA": "50"}], document=[50])
    output.line("done")
    assert capsys.readouterr() == ("", "")


def test_progress_of_a_resumed_run_counts_only_what_this_run_did(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("pgd20", "images") as progress:
        progress(9000, 10_000)
        clock.now += 20
        progress(9020, 10_000, "TA 70.1")
    assert capsys.readouterr().err == "pgd20: 9,020/10,000 images, 1/s, 16 min 20 s left, TA 70.1\n"


def test_progress_may_begin_again(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("verify", "images") as progress:
        for done in (0, 100, 0, 50):
            progress(done, 100)
            clock.now += 5
    assert capsys.readouterr().err.splitlines()[-1] == "verify: 50/100 images, 10/s, 5 s left"


def test_progress_that_never_began_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("pgd20", "images"):
        pass
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_a_bar_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Terminal(monkeypatch, "stderr")
    with Progress("pgd20", "images") as progress:
        progress(0, 10)
        progress(10, 10)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "━" in stderr
    assert "10/10 images" in stderr


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (None, "", ""),
        (0, "", "0"),
        (999, "B", "999 B"),
        (999_600, "", "1 M"),
        (2_814_000, "", "2.81 M"),
        (23_500_000, "", "23.5 M"),
        (5e16, "B", "5e+04 TB"),
    ],
)
def test_sizes(count: int | None, unit: str, text: str) -> None:
    assert size(count, unit) == text


def test_what_strangers_write_does_not_command_the_terminal(
    out: Output, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours, titles, text from right to left, and halves of characters that cannot be printed at all."""
    text = "a\x1b]0;title\x07\x9b31mb\u202ec\ud800\r\tä\U0001f600"
    shown = "a\ufffd]0;title\ufffd\ufffd31mb\ufffdc\ufffd\ufffd\tä\U0001f600"
    out.line(text)
    out.error(text, text)
    out.table([{"name": text}], document=None)
    found = capsys.readouterr()
    assert found.err == f"Error: {shown}\n{shown}\n"
    assert found.out == f"{shown}\nname\n{' '.join(shown.split())}\n"
    monkeypatch.setenv("COLUMNS", "100")
    Terminal(monkeypatch, "stdout")
    out.table([{"name": text}], document=None)
    found = capsys.readouterr()
    assert "\x1b]" not in found.out  # it has escapes of its own, for the heading
    assert not set(found.out) & set("\x9b\u202e\ud800\r")
