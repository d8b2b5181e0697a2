"""`advss claim` and `advss doctor MODEL`: a claim is judged, and false robustness named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Advss = Callable[..., Any]

ROUNDED = """
import torch
from torch import nn

class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

    def forward(self, x):
        return self.network((x * 255).round() / 255)
"""


def test_p1f3_mini_does_not_have_an_ra_of_30_percent(advss: Advss) -> None:
    outcome = advss("claim", "p1f3.mini", "--ra", "0.3", "--limit", "16", "--json")
    found = outcome.json
    assert outcome.status == 1
    assert found["verdict"] == "does not hold"
    assert found["ra_ci95"][1] < 0.3
    assert [step["attack"] for step in found["steps"]] == ["pgd20"]  # the cheapest was enough
    status, stdout, stderr = advss("claim", "p1f3.mini", "--ra", "0.3", "--limit", "16", "--out", found["out"])
    assert status == 1  # the same results, said in words
    assert "The claim does not hold: RA 0.00 (0.00 to 19.36) on 16 images of cifar10-1k; claimed 30.00" in stdout
    assert str(Path(found["out"]) / "claim.json") in stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "A claim needs either --ra or --from."),
        (["--ra", "0.3", "--from", "x.json"], "A claim needs either --ra or --from."),
        (["--ra", "52"], "ra must be a fraction from 0 to 1, got 52.0."),
        (["--from", "x.json"], "x.json does not exist."),
    ],
)
def test_what_is_not_a_claim(arguments: list[str], says: str, advss: Advss) -> None:
    status, stdout, stderr = advss("claim", "p1f4.mini", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr


def test_a_model_is_diagnosed(advss: Advss, tmp_path: Path) -> None:
    (tmp_path / "rounded_model.py").write_text(ROUNDED)
    outcome = advss("doctor", "rounded_model:Rounded", "--limit", "8", "--json")
    assert outcome.status == 1
    assert outcome.json["masked"] is True
    found = {symptom["name"]: symptom for symptom in outcome.json["symptoms"] if symptom["found"]}
    assert "bpda" in found["zero gradients"]["try_next"]
    assert "zero gradients\tFOUND\t8 of 8 images" in advss("doctor", "rounded_model:Rounded", "--limit", "8").stdout
