"""A machine, or a container, that lacks what is usually there."""

from __future__ import annotations

import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advss_zoo.errors import AdvssError
from advss_zoo.files import cache_folder, expanded

Advss = Callable[..., Any]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is a bare number, as in a container."""

    def unknown(who: object) -> None:
        raise KeyError(who)

    for name in ("HOME", "ADVSS_CACHE", "ADVSS_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.mark.parametrize("command", [("cache",), ("data", "get", "cifar10"), ("pull", "hf://acme/tiny")])
def test_a_user_without_a_home_is_told_what_to_set(advss: Advss, homeless: None, command: tuple[str, ...]) -> None:
    outcome = advss(*command)
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "The home folder in ~/.cache is unknown: HOME is not set" in outcome.stderr
    assert "set ADVSS_CACHE" in outcome.stderr


def test_what_needs_no_cache_needs_no_home(advss: Advss, homeless: None) -> None:
    assert advss("list").status == 0
    assert advss("pull", "p1f4.mini").status == 0


@pytest.mark.parametrize("variable", ["ADVSS_CACHE", "XDG_CACHE_HOME"])
def test_a_folder_for_the_cache_is_enough(
    advss: Advss, homeless: None, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert advss("cache").status == 0
    assert cache_folder().is_relative_to(tmp_path)


def test_doctor_says_so_too(advss: Advss, homeless: None) -> None:
    outcome = advss("doctor", "--json")
    cache = next(check for check in outcome.json["checks"] if check["name"] == "cache")
    assert not cache["ok"]
    assert "HOME is not set" in cache["found"]


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("--to=~/deep/model.onnx", "{home}/deep/model.onnx"),
        ("--to=~", "{home}"),
        ("--to=./~/x.onnx", "./~/x.onnx"),
        ("--to=a~/x.onnx", "a~/x.onnx"),
    ],
)
def test_a_leading_tilde_is_the_home_folder(
    advss: Advss, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argument: str, path: str
) -> None:
    seen: list[Path] = []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("advss_zoo.workflows.export.export", lambda model, target, **_: seen.append(Path(target)))
    advss("export", "p1f4.mini", argument)
    assert seen == [Path(path.format(home=tmp_path / "home"))]


def test_a_quoted_pattern_in_the_home_folder(advss: Advss, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"'{tmp_path}/none-*.png' does not exist" in advss("predict", "~/none-*.png").stderr
    assert "'~none.png' does not exist" in advss("predict", "~none.png").stderr


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "~nobody-of-that-name/"])
def test_the_home_of_an_unknown_user(advss: Advss, path: str) -> None:
    with pytest.raises(AdvssError, match=f"The home folder in {path} is unknown: no user has that name"):
        expanded(path)
    assert "no user has that name" in advss("report", "runs", f"--html={path}").stderr
