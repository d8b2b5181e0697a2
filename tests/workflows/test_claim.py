"""`claim`: does a published robust accuracy hold?"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import pytest
from evaluation.helpers import quick
from safetensors.torch import load_file, save_file
from workflows import masked

import advss_zoo as az
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.claimed import ClaimedAccuracy, judge
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, check
from advss_zoo.evaluation.statistics import Estimate, settled_by
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.resources import PACKAGE

BUNDLED = PACKAGE / "bundled"
CARD = BUNDLED / "selfie-p3f4.mini" / "results" / "cifar10-pgd20"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ladder(eps: float = 0.02, square: int = 200):
    settings = {"norm": "linf", "eps": eps}
    names = ("pgd3", "pgd3-margin", "apgd-ce", "square")
    return [
        replace(each, queries=square) if each.name == "square" else each
        for each in (quick(name, **settings) for name in names)
    ]


def checked(model, ra: float, n: int = 24, **settings):
    settings = {"attacks": ladder(), "eps": 0.02, "limit": n} | settings
    return az.claim(model, ra, masked.pictures(n), **settings)


def test_a_card_holds():
    """Of 8 images, so with the widest tolerance that means anything."""
    found = az.claim("selfie-p3f4.mini", CARD, limit=8, tolerance=0.4)
    assert found.verdict == "holds"
    assert found.claim.ra == pytest.approx(0.4416)
    assert "autoattack" in found.warnings[-1]  # which a claim of PGD says nothing of


@pytest.mark.parametrize("name", ["selfie-p3f4.mini", "rotation-p3f4.mini", "jigsaw-p3f4.mini"])
def test_the_sample_is_large_enough_for_a_claim_that_is_true(name):
    """By the verdicts on the card: the RA under AutoAttack of all images, and of those that are sampled."""
    standing = Verdicts.read(BUNDLED / name / "results" / "cifar10-1k-autoattack" / VERDICTS_FILE).standing
    of_sample = standing[: parameter("limit")]
    assert len(of_sample) == parameter("limit")
    ra = Estimate.of(of_sample.mean(), len(of_sample))
    assert judge(ra, standing.mean(), parameter("tolerance"), complete=True) == "holds"


def parameter(name: str):
    return inspect.signature(az.claim).parameters[name].default


def test_attacks_go_on_with_what_is_left_and_stop_when_the_claim_is_refuted():
    found = checked(masked.network(), 0.0, attacks=ladder(eps=0.005))
    assert [step.attack.split()[0] for step in found.steps] == ["pgd3", "pgd3-margin", "apgd-ce", "square"]
    left = found.n
    for step in found.steps:
        assert step.attacked == left
        left -= step.broken
        assert step.ra == left / found.n
    assert found.ra == left / found.n
    assert found.verdict == "holds"
    assert len(checked(masked.network(), 0.95).steps) == 1


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (masked.Stochastic, "outputs are random. RA is that of the mean probability over 8 draws"),
        (masked.Rounded, "gradient of the model's loss is exactly 0"),
        (masked.Saturated, "returns probabilities; their logarithm is taken"),
    ],
)
def test_false_robustness_is_found_and_named(build, says):
    found = checked(build(), 0.99, attacks=ladder(eps=0.06), n=16)
    assert says in " ".join((*found.left_out, *found.warnings))
    assert found.verdict == "does not hold"


def test_a_claim_does_not_hold_because_attacks_were_fooled():
    """Square alone, with hardly a query, breaks little; no number of images makes up for the gradients."""
    found = checked(masked.Rounded(), 0.5, attacks=ladder(square=1), tolerance=0.1)
    assert found.ra > 0.9
    assert found.verdict == "not settled"
    assert found.needed_images is None
    assert "bpda" in found.warnings[-1]


def test_what_a_black_box_breaks_is_a_sign_of_masking():
    class Turning(masked.Stochastic):
        """Says that the loss rises where it falls."""

        def forward(self, x):
            return self.network(2 * x.detach() - x)

    found = checked(Turning(), 0.0, attacks=ladder(eps=0.06))
    assert any("which follows no gradient of the model, broke" in warning for warning in found.warnings)
    assert found.verdict == "not settled"


def test_a_check_goes_on_where_it_was_stopped(tmp_path):
    expected = checked(masked.network(), 0.0, out=tmp_path / "whole", attacks=ladder(eps=0.005))

    def stop(label, unit, done, total, note):
        if label.startswith("apgd-ce"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(masked.network(), 0.0, out=tmp_path / "broken", attacks=ladder(eps=0.005), progress=stop)
    worked = []
    found = checked(
        masked.network(),
        0.0,
        out=tmp_path / "broken",
        attacks=ladder(eps=0.005),
        progress=lambda label, unit, done, total, note: worked.append((label, done)),
    )
    assert ("pgd3 (linf, eps 0.005)", 0) not in worked
    same = {"seconds", "steps"}
    assert found.to_dict().keys() == expected.to_dict().keys()
    assert {k: v for k, v in found.to_dict().items() if k not in same} == {
        k: v for k, v in expected.to_dict().items() if k not in same
    }
    written = json.loads((tmp_path / "broken" / "claim.json").read_text())
    assert written == found.to_dict()
    verdicts = [Verdicts.read(tmp_path / name / "verdicts.npz") for name in ("whole", "broken")]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].scores()["ra"] == found.ra


def test_each_result_has_the_hash_of_its_own_images(tmp_path):
    """That is, of those that the attacks before left."""
    found = checked(masked.network(), 0.0, out=tmp_path, attacks=ladder(eps=0.005))
    images, left = masked.pictures(24), range(24)
    assert found.steps[1].attacked < 24
    for folder in sorted(tmp_path.glob("attacks/*/*")):
        made = check(folder / RESULT_FILE)
        assert made.data.content_sha256 == images.take(left).content_sha256
        left = made.verdicts.index[made.verdicts.standing].tolist()


def test_another_number_of_draws_is_another_result(tmp_path):
    for draws in (2, 3):
        found = checked(masked.Stochastic(), 0.0, n=12, attacks=ladder()[:1], eot=draws, out=tmp_path)
        assert found.steps[0].attack.endswith(f"{draws} draws")


def test_what_is_wrong_with_a_model_is_said_once():
    class Silent(masked.Stochastic):
        def forward(self, x):
            return self.network(x) * float("nan")

    class Detached(masked.Stochastic):
        def forward(self, x):
            return self.network(x.detach()).detach()

    with pytest.raises(AdvssError, match=r"^The model's output is NaN or infinite\."):
        checked(Silent(), 0.5)
    (reason,) = checked(Detached(), 0.2).left_out
    assert reason.startswith("pgd3 (linf, eps 0.02), pgd3-margin (linf, eps 0.02), apgd-ce (linf, eps 0.02) could not")


def test_images_of_another_model_are_one_of_the_attacks(tmp_path):
    source = az.load_model("p1f4.mini")
    found = az.claim("selfie-p3f4.mini", 0.9, limit=8, attacks=None, transfer=source, out=tmp_path)
    assert found.verdict == "does not hold"
    labels = [step.attack for step in found.steps]
    assert labels[: len(labels)] == ["pgd20", "pgd20 on p1f4.mini"][: len(labels)]


def test_saved_images_and_their_result_are_a_claim(tmp_path):
    images = masked.pictures(16)
    made = az.evaluate(masked.network(), images, "pgd3", eps=0.02, out=tmp_path, save_adversarial=True)
    file = made.folder / TENSORS_FILE
    found = az.claim(masked.network(), file, images, limit=16, tolerance=0.4)
    assert found.claim.ra == made.ra
    assert found.steps[0].attack.startswith("saved pgd3")
    assert found.ra <= made.ra
    saved = load_file(file)
    save_file(saved | {"x_adv": (saved["x_adv"] + 0.3).clamp(0, 1)}, file)
    with pytest.raises(AdvssError, match=r"but linf eps is 0\.02"):
        az.claim(masked.network(), file, images, limit=16)


def test_a_model_info_of_robustbench(tmp_path):
    path = tmp_path / "model_info" / "cifar10" / "Linf" / "X.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"clean_acc": "89.69", "autoattack_acc": "59.53", "eps": "8/255"}))
    stated, own = ClaimedAccuracy.read(path)
    assert own is None
    assert (stated.ra, stated.ta, stated.norm, stated.eps) == (0.5953, pytest.approx(0.8969), "linf", 8 / 255)
    assert stated.attack == "autoattack"
    (tmp_path / "X.json").write_text(path.read_text())
    with pytest.raises(UsageError, match="does not say its norm"):
        ClaimedAccuracy.read(tmp_path / "X.json")
    assert ClaimedAccuracy.read(tmp_path / "X.json", "l2")[0].norm == "l2"


@pytest.mark.parametrize("number", ["-1", "101", "nan", "much", True, [1], "9" * 50])
def test_a_model_info_whose_number_is_none(number, tmp_path):
    path = tmp_path / "X.json"
    path.write_text(json.dumps({"autoattack_acc": number}))
    with pytest.raises(AdvssError, match="autoattack_acc must be a percentage"):
        ClaimedAccuracy.read(path, "linf")


@pytest.mark.parametrize(
    ("claimed", "settings", "says"),
    [
        (52, {}, "ra must be a fraction"),
        (0.5, {"norm": "l7"}, "Unknown norm 'l7'"),
        (0.5, {"tolerance": 5}, "tolerance must be a fraction"),
        (0.5, {"attack": "unheard"}, "Unknown protocol 'unheard'"),
        (0.5, {"attack": "clean"}, "Accuracy under clean is not a claim about a norm"),
        (0.5, {"attack": "ensemble-worst"}, "needs an ensemble"),
        (
            0.5,
            {"transfer": masked.network(classes=7)},
            "Sequential cannot make images .* has 7 classes",
        ),
        ("nowhere.json", {}, "nowhere.json does not exist"),
        (".", {}, "is not a claim"),
        (CARD, {"eps": 0.1}, "cifar10-pgd20 says under which attack"),
        (CARD, {"attack": "pgd10"}, "cifar10-pgd20 says under which attack"),
        (CARD, {"norm": "l2"}, "is about linf, not l2"),
    ],
)
def test_what_is_not_a_claim(claimed, settings, says):
    with pytest.raises(UsageError, match=says):
        az.claim(masked.network(), claimed, masked.pictures(8), limit=8, **settings)


def test_a_claim_that_its_interval_does_not_settle_says_what_would():
    interval = Estimate.of(0.5, 20)
    assert judge(interval, 0.5, 0.05, complete=True) == "not settled"
    assert judge(Estimate.of(0.5, 2000), 0.5, 0.05, complete=True) == "holds"
    assert judge(Estimate.of(0.5, 2000), 0.5, 0.05, complete=False) == "not settled"
    assert judge(Estimate.of(0.4, 2000), 0.5, 0.05, complete=False) == "does not hold"
    needed = settled_by(0.5, lambda ra: judge(ra, 0.5, 0.05, True) != "not settled")
    assert judge(Estimate.of(0.5, needed), 0.5, 0.05, True) == "holds"
    assert judge(Estimate.of(0.5, needed - 1), 0.5, 0.05, True) == "not settled"
    assert settled_by(0.5, lambda ra: False) is None


def test_a_claim_over_draws_is_checked_over_as_many(tmp_path):
    images = masked.pictures(12)
    made = az.evaluate(masked.Stochastic(), images, "pgd2", eps=0.02, eot=3, out=tmp_path)
    found = az.claim(masked.Stochastic(), made.folder, images, limit=12, tolerance=0.9)
    assert found.draws == 3
    assert [step.attack for step in found.steps] == ["pgd2 (linf, eps 0.02), 3 draws"]


def test_a_model_without_gradients_leaves_a_claim_open():
    model = az.Model(masked.network(), "no gradients", differentiable=False)
    found = checked(model, 0.2, attacks=ladder(eps=0.005), tolerance=0.1)
    assert [step.attack.split()[0] for step in found.steps] == ["square"]
    assert len(found.left_out) == 3
    assert "needs gradients" in found.left_out[0]
    assert found.verdict == "not settled"
