"""`eot`: random models are measured over draws, and the result says so."""

from __future__ import annotations

import pytest
import torch
from evaluation.helpers import quick, stop_at
from torch import nn

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.results import check
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.ensemble import Ensemble


class Noisy(nn.Sequential):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))


@pytest.mark.parametrize("attack", ["clean", "pgd3", "pgd3-margin", "square", "autoattack", "apgd-margin"])
def test_a_random_model_has_verdicts_that_can_be_repeated(attack, patches, pictures):
    images, protocol = pictures.first(24), quick(attack)
    one, other = (evaluate(Noisy(*patches), images, protocol, eot=2) for _ in range(2))
    assert one.verdicts == other.verdicts
    assert one.protocol.label == f"{protocol.label()}, 2 draws"
    assert one.protocol.eot == 2


def test_one_that_was_interrupted_goes_on(tmp_path, patches, pictures):
    images = pictures.first(70)
    expected = evaluate(Noisy(*patches), images, "pgd2", eot=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Noisy(*patches), images, "pgd2", eot=2, out=tmp_path, progress=stop_at(64))
    assert evaluate(Noisy(*patches), images, "pgd2", eot=2, out=tmp_path).verdicts == expected.verdicts
    assert check(tmp_path / "result.json").protocol.eot == 2
    with pytest.raises(UsageError, match="other constants: eot"):
        evaluate(Noisy(*patches), images, "pgd2", eot=3, out=tmp_path)


def test_members_of_an_ensemble_have_no_draws(patches, pictures):
    with pytest.raises(UsageError, match="transfer needs an ensemble"):
        evaluate(Ensemble([patches, patches], ["a", "b"]), pictures.first(8), "transfer", eot=2)


def test_the_margin_breaks_what_a_saturated_cross_entropy_hides(patches, pictures):
    class Confident(nn.Sequential):
        def forward(self, x):
            return 3000 * super().forward(x)

    images = pictures.first(24)
    by_margin, by_entropy = (evaluate(Confident(*patches), images, name) for name in ("pgd5-margin", "pgd5"))
    assert by_margin.ra < by_entropy.ra
    assert by_margin.protocol.to_dict()["loss"] == "margin"
