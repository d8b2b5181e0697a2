"""A published robust accuracy, and what a check of it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field

from advss_zoo.attacks.eps import parse_eps
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation import results
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.ball import DEFAULT_EPS, Norm
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.evaluation.schema import Count, EvaluatedData, EvaluatedModel, Fraction, Interval, Part, Positive, Text
from advss_zoo.evaluation.statistics import Estimate
from advss_zoo.files import read_json

ClaimVerdict = Literal["holds", "does not hold", "not settled"]
WORST_CASE = "autoattack"  # a claim of it is one of the worst case over strong attacks
LONGEST_NUMBER = 20  # characters


class ClaimedAccuracy(Part):
    """Robust accuracy `ra` under an attack, as someone published it; all fractions, eps in pixel values in [0,1]."""

    ra: Fraction
    attack: Text = WORST_CASE
    norm: Norm = "linf"
    eps: Positive = DEFAULT_EPS["linf"]
    ta: Fraction | None = None
    source: Text = "given"

    @classmethod
    def of(cls, ra: float, attack: str = WORST_CASE, norm: Norm = "linf", eps: float | str | None = None) -> Self:
        """Return the claim that is stated by its numbers.

        Raises:
            UsageError: `ra` is not a fraction, or eps or the norm make no sense.
        """
        if isinstance(ra, bool) or not isinstance(ra, int | float) or not 0 <= ra <= 1:
            raise UsageError(f"ra must be a fraction from 0 to 1, got {ra!r}.", "Write 0.52 for 52%.")
        if norm not in get_args(Norm):
            raise UsageError(f"Unknown norm {norm!r}.", f"Choose from {', '.join(get_args(Norm))}.")
        size = DEFAULT_EPS[norm] if eps is None else parse_eps(eps, norm)
        return cls(ra=float(ra), attack=attack, norm=norm, eps=size)

    @classmethod
    def read(cls, path: Path, norm: Norm | None = None) -> tuple[Self, Result | None]:
        """Read a claim, and the result that makes it if it is one of ours.

        Args:
            path: a `model_info` JSON of RobustBench, a folder with a result, or saved adversarial images beside one.
            norm: of a `model_info`; None: that of its folder (`.../Linf/NAME.json`).

        Raises:
            UsageError: it is not such a claim, or one that no attack belongs to.
            AdvssError: the file is damaged, or the result is not that of its verdicts.
        """
        place = path if path.is_dir() else path.parent
        if (place / RESULT_FILE).is_file() and (path.is_dir() or path.name in (TENSORS_FILE, RESULT_FILE)):
            return cls._of_result(results.check(place / RESULT_FILE), norm)
        if path.is_dir() or path.suffix != ".json":
            raise UsageError(
                f"{path} is not a claim.",
                f"Give a RobustBench model_info JSON, a folder with a {RESULT_FILE}, or its {TENSORS_FILE}.",
            )
        return cls._of_model_info(path, norm), None

    @classmethod
    def _of_result(cls, result: Result, norm: Norm | None) -> tuple[Self, Result]:
        made_by = result.protocol
        if result.ra is None or made_by.norm is None or made_by.eps is None:
            raise UsageError(
                f"A result of {made_by.label} does not claim an RA within a norm.", "Give one of pgdN or autoattack."
            )
        if norm not in (None, made_by.norm):
            raise UsageError(f"The result is about {made_by.norm}, not {norm}.", "Leave out --norm.")
        facts = {"norm": made_by.norm, "eps": made_by.eps, "ta": result.ta}
        source = f"{made_by.label} for {result.model.name} on {result.n:,} images of {result.data.name}"
        return cls(ra=result.ra, attack=made_by.name, source=source, **facts), result

    @classmethod
    def _of_model_info(cls, path: Path, norm: Norm | None) -> Self:
        document = read_json(path)
        if not isinstance(document, dict) or "autoattack_acc" not in document:
            raise AdvssError(f"{path} does not have autoattack_acc, as a model_info of RobustBench does.")
        known: dict[str, Norm] = {name.lower(): name for name in get_args(Norm)}
        found = norm or known.get(path.parent.name.lower())
        if found is None:
            raise UsageError(f"{path} does not say its norm.", "Add --norm linf or --norm l2.")
        ra, ta = (_percent(document.get(key), key, path) for key in ("autoattack_acc", "clean_acc"))
        if ra is None:
            raise AdvssError(f"{path} has no number under autoattack_acc.")
        eps = document.get("eps")
        size = DEFAULT_EPS[found] if eps is None else parse_eps(eps, found)
        return cls(ra=ra, norm=found, eps=size, ta=ta, source=f"RobustBench {path.name}"[:200])


def _percent(value: Any, key: str, path: Path) -> float | None:
    """A number in percent, which RobustBench writes as text, as a fraction."""
    if value is None:
        return None
    try:
        if isinstance(value, bool) or len(str(value)) > LONGEST_NUMBER:
            raise ValueError
        fraction = float(value) / 100
        if not 0 <= fraction <= 1:
            raise ValueError
    except (TypeError, ValueError):
        raise AdvssError(f"{path}: {key} must be a percentage, got {str(value)[:50]!r}.") from None
    return fraction


class AttackStep(Part):
    """One attack on the images that those before left; `ra` is that after it, of all images."""

    attack: Text
    attacked: Count
    broken: Count
    ra: Fraction
    seconds: Positive
    uses_gradient: bool


class ClaimCheck(Part):
    """What became of a claim on `n` images; fractions with 95% intervals (Wilson).

    `ra` is the worst case over the attacks of `steps`. The claim "does not hold" if the interval lies below it; it
    "holds" if all attacks ran, nothing hints at masked gradients, and the interval lies above the claim minus
    `tolerance`. `needed_images` would settle it if the RA stays the same, in about `needed_seconds`; None: nothing is
    open, or images alone would not settle it. `warnings` say what to try next.
    """

    model: EvaluatedModel
    data: EvaluatedData
    claim: ClaimedAccuracy
    tolerance: Fraction
    draws: Count | None
    n: Count = Field(ge=1)
    ta: Fraction
    ta_ci95: Interval
    ra: Fraction
    ra_ci95: Interval
    verdict: ClaimVerdict
    steps: tuple[AttackStep, ...]
    left_out: tuple[Text, ...]
    warnings: tuple[Text, ...]
    needed_images: Count | None
    needed_seconds: float | None
    seconds: Positive


def judge(ra: Estimate, claim: float, tolerance: float, complete: bool) -> ClaimVerdict:
    """Compare an interval with a claim; `complete`: all attacks ran and none was fooled."""
    if ra.exceeds(claim) is False:
        return "does not hold"
    return "holds" if complete and ra.exceeds(claim - tolerance) else "not settled"
