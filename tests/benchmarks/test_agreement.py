"""The table of benchmarks/agreement.py, of tiny evaluations in the place of the zoo's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import agreement
import numpy as np
import pytest
import torch
from torch import nn

from advss_zoo.data.imageset import ImageSet
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.protocols.autoattack import AutoAttack
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import Model


def quick(name: str) -> AutoAttack:
    protocol = parse(name)
    assert isinstance(protocol, AutoAttack)
    return replace(protocol, iterations=2, queries=4)


def test_the_table_compares_image_by_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)).eval(), "tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8), dtype=np.uint8)
    labels = model(torch.from_numpy(pixels).float() / 255).argmax(dim=1).numpy()
    images = ImageSet("cifar10-1k", "test", pixels, labels, np.arange(24), tuple("abcd"))
    whole = evaluate(model, images, quick("autoattack"), out=tmp_path / "tiny" / "results" / "cifar10-1k-autoattack")
    for name in ("quick-malt", "autoattack-sampled10"):
        evaluate(model, images.first(20), quick(name), out=tmp_path / "runs" / name)

    class Fetched:
        path = tmp_path / "tiny"

    monkeypatch.setattr(agreement.sources, "fetch", lambda reference: Fetched)
    monkeypatch.setattr(sys, "argv", ["agreement.py", str(tmp_path / "runs")])
    agreement.main()
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("| tiny"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[1:3] == ["20", f"{100 * whole.verdicts.standing[:20].mean():.2f}"]
    assert 0 < float(cells[2]) < 100, "some stand and some fall"
    assert int(cells[4]) == round(abs(float(cells[3]) - float(cells[2])) / 5)
    assert cells[6] in ("yes", "no")
