"""What `advss eval` says of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advss_zoo.cli.output import out, rate_text
from advss_zoo.errors import UsageError
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.evaluation.results import Result
    from advss_zoo.evaluation.schema import CorruptionNames, VennCounts


def show(results: Sequence[Result], base: Path) -> None:
    """Print results of one model on the same images, which lie in folders in `base`."""
    from advss_zoo.evaluation.uar import scores as uar_scores

    uar = uar_scores(results)
    mce, undefined = _mean_corruption_errors(results)
    whole = {
        "model": results[0].model.to_dict(),
        "data": results[0].data.to_dict(),
        "results": [document(result) for result in results],
        **({"uar": uar} if uar else {}),
        **({"mce": mce} if mce else {}),
        "out": str(base),
    }
    out.table(rows(results), document=whole)
    for attack, score in uar.items():
        out.hint(f"UAR of {attack}: {percent(score)}")
    for result in results:
        if result.baseline and result.protocol.name in mce:
            error = percent(mce[result.protocol.name])
            out.hint(f"{result.protocol.name}: mCE {error} against {result.baseline.model.name}")
    for reason in undefined:
        out.hint(reason)
    for result in results:
        for line in _remarks(result):
            out.hint(f"{result.protocol.label}: {line}")
        out.hint(f"Result: {result.folder}/result.json")


def rows(results: Sequence[Result]) -> list[dict[str, str]]:
    """Return the cells of a table of results."""
    return [
        {
            "model": result.model.name,
            "data": result.data.name,
            "n": f"{result.n:,}",
            "protocol": result.protocol.label,
            "TA": percent(result.ta),
            "RA": percent(result.ra),
            "RA 95%": _interval(result.ra_ci95),
            **_corrupted(result, results),
            "images/s": rate_text(result.images_per_second),
        }
        for result in results
    ]


def _mean_corruption_errors(results: Iterable[Result]) -> tuple[dict[str, float], list[str]]:
    """mCE by protocol, as fractions of the error of what each is compared with; and why others have none."""
    from advss_zoo.evaluation.protocols.corruptions import mean_corruption_error

    found, undefined = {}, []
    for result in results:
        try:
            if result.baseline:
                found[result.protocol.name] = mean_corruption_error(result, result.baseline)
        except UsageError as error:
            undefined.append(f"{result.protocol.name}: {error.message}")
    return found, undefined


def _corrupted(result: Result, among: Iterable[Result]) -> dict[str, str]:
    """The cells for the accuracy on corrupted images, in a table where any result has it."""
    if all(other.details.corruption_accuracy is None for other in among):
        return {}
    details = result.details
    return {
        "corrupted": percent(details.corruption_accuracy),
        "corrupted 95%": _interval(details.corruption_accuracy_ci95),
    }


def _remarks(result: Result) -> list[str]:
    """What there is to say of a result beside TA and RA."""
    data, details, remarks = result.data, result.details, []
    if data.classes is not None:
        remarks.append(f"images of {data.classes:,} classes, measured over all {data.outputs:,} outputs of the model")
    if len(details.attacks) > 1:
        after = (f"{percent(attack.accuracy)} after {attack.name}" for attack in details.attacks)
        remarks.append("RA " + ", ".join(after))
    if details.parts:
        remarks.append("RA alone: " + ", ".join(f"{part.name} {percent(part.accuracy)}" for part in details.parts))
    if shown := details.transfer:
        for source, rates in zip(shown.sources, shown.asr, strict=True):
            wrong = ", ".join(f"{target} {percent(rate)}" for target, rate in zip(shown.targets, rates, strict=True))
            remarks.append(f"made on {source}, wrong: {wrong}")
    remarks += [_venn(source, pairs[0]) for source, pairs in details.venn.items() if len(pairs) == 1]
    if details.ra_8bit is not None:
        remarks.append(f"RA {percent(details.ra_8bit)} on the adversarial images rounded to 8 bit")
    if names := result.protocol.corruptions:
        remarks.append(_by_severity(names, details.corruptions))
    return remarks + [f"Warning: {sentence}" for sentence in result.warnings]


def _venn(source: str, pair: VennCounts) -> str:
    """Figure 5 of Chen et al. 2020 for one source, of all images and of those that are wrong on either target."""
    one, other = pair.targets
    areas = zip((f"{one} and {other}", f"{one} alone", f"{other} alone"), pair.of_all, pair.of_union, strict=True)
    shares = (
        f"{name} {percent(of_all)}" + f" ({percent(of_union)})" * (of_union is not None)
        for name, of_all, of_union in areas
    )
    return f"made on {source}, wrong on (and of those wrong on either): {', '.join(shares)}"


def _by_severity(names: CorruptionNames, accuracies: Mapping[str, Sequence[float]]) -> str:
    """A line for each corruption, 53 characters wide; those that the mean leaves out come last."""
    lines = ["accuracy by severity 1 to 5, and its mean"]
    for name in names.benchmark + names.extra:
        found = accuracies[name]
        mean = sum(found) / len(found)
        star = "*" * (name in names.extra)
        lines.append(f"{star + name:>18}" + "".join(f"{100 * value:6.1f}" for value in [*found, mean]))
    return "\n".join([*lines, "* not part of the benchmark, nor of the accuracy above"])


def document(result: Result) -> dict[str, Any]:
    """Return a result without its model and data, and its protocol by name."""
    facts = {key: value for key, value in result.to_dict().items() if key not in ("model", "data", "protocol")}
    constants = result.protocol.to_dict()
    return {"protocol": result.protocol.name, "constants": constants, **facts, "out": str(result.folder)}


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"
