"""The part of benchmarks/attacks.py that goes on where it was stopped, with made-up measurements."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

FILE = Path(__file__).parents[2] / "benchmarks" / "attacks.py"
SIDES = "pyautoattack", "pyautoattack seed 1", "advss"


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_attacks", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_what_is_finished_is_not_measured_again(
    attacks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 200 images each side breaks every third; the other seed spares image 3, and advss breaks image 130."""
    measured: list[tuple[str, int, int]] = []

    def run(name: str, shared: bool, threads: int, part: range) -> object:
        if len(measured) in (3, 8):
            measured.append(("killed", 0, 0))
            raise KeyboardInterrupt
        measured.append((name, part.start, part.stop))
        spared, broken = {"pyautoattack seed 1": (3, None), "advss": (None, 130)}.get(name, (None, None))
        return attacks.Run(
            2.0 if name != "advss" else 1.0, 2.0, [i == spared or (i % 3 > 0 and i != broken) for i in part]
        )

    monkeypatch.setattr(attacks, "run", run)
    monkeypatch.setattr(attacks.importlib.util, "find_spec", lambda name: name)
    arguments = ["attacks.py", "p1f4.mini", "--attack", "autoattack", "--images", "200", "--keep", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", ",".join(SIDES)])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            attacks.main()
    attacks.main()
    ends = [(0, 64), (64, 128), (128, 192), (192, 200)]
    assert [call for call in measured if call[0] != "killed"] == [(name, *end) for end in ends for name in SIDES]
    printed = capsys.readouterr().out
    rows = {cells[1].strip(): cells[2:] for line in printed.splitlines() if len(cells := line.split("|")) > 3}
    assert [float(rows[name][0]) for name in SIDES] == [66.5, 67.0, 66.0]
    assert [int(rows[name][1]) for name in SIDES] == [0, 1, 1]
    assert float(rows["advss"][3]) == 2
    assert "pyautoattack seed 1 differs from pyautoattack at images: 3\n" in printed
    assert "advss differs from pyautoattack at images: 130\n" in printed


@pytest.mark.parametrize("changed", ["weights", "torch", "settings", "code"])
def test_measurements_under_other_circumstances_are_not_mixed(
    changed: str, attacks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "run", lambda name, shared, threads, part: attacks.Run(1.0, 1.0, [True] * len(part)))
    monkeypatch.setattr(attacks, "load_model", lambda name: torch.nn.Linear(1, 1))
    monkeypatch.setattr(attacks, "weights_sha256", lambda model: "one")
    arguments = ["attacks.py", "p1f4.mini", "--images", "8", "--keep", str(tmp_path), "--only", "advss"]
    monkeypatch.setattr(sys, "argv", arguments)
    attacks.main()
    attacks.main()
    if changed == "weights":
        monkeypatch.setattr(attacks, "weights_sha256", lambda model: "other")
    elif changed == "torch":
        monkeypatch.setattr(attacks.torch, "__version__", "99")
    elif changed == "code":
        monkeypatch.setattr(attacks, "code", lambda package: "other")
    else:
        monkeypatch.setattr(attacks, "STEPS", 10)
    with pytest.raises(SystemExit, match="measured under other circumstances"):
        attacks.main()


def test_a_side_that_there_is_not_is_named(
    attacks: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["attacks.py", "p1f4.mini", "--only", "advss,torchatacks"])
    with pytest.raises(SystemExit):
        attacks.main()
    assert "no side is called torchatacks; there are torchattacks," in capsys.readouterr().err
