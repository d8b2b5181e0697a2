"""The leaderboard: every model with its numbers, each linked to its result, its verdicts and the command behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import submissions
from conf import URLS

from advss_zoo import resources
from advss_zoo.evaluation import results
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result
from advss_zoo.texts import duration, percent
from advss_zoo.zoo import RESULTS, index, sources

SMALL = 5_000_000  # parameters: what trains on a CPU in hours
INTRODUCTION = """# Leaderboard

Accuracies in percent on the test images of CIFAR-10, with 95% intervals. All {count} results were derived from their
verdicts again when this page was built. A number leads to its result in the repository; verdicts and commands are
[below](#evidence). What they mean: [concepts](concepts.md).

* TA: clean; RA: under PGD-20 (Linf, eps 8/255); both on 10,000 images
* AA: under AutoAttack (Linf, eps 8/255), on the first n images
* corrupted: mean over the 15 corruptions of CIFAR-10-C at 5 severities
* minutes: training of this checkpoint, without its trunk or members; its [card](cards/index.md) names the machine

The same results with figures, made by `advss report`: <a href="{report}">report</a>. To add a model:
[submit](submit.md).
"""


@dataclass(frozen=True)
class Model:
    """One line of the leaderboard: a model, its results and the folders that they lie in."""

    name: str
    link: str
    found: dict[str, tuple[Result, Path]]  # by the label of the protocol
    parameters: int | None = None
    minutes: float | None = None
    origin: str = ""

    def accuracy(self, label: str) -> float | None:
        return _accuracy(self.found[label][0])[0] if label in self.found else None

    def cell(self, label: str) -> str:
        """The accuracy under a protocol with its interval, linked to its result."""
        if label not in self.found:
            return "-"
        result, folder = self.found[label]
        accuracy, bounds = _accuracy(result)
        address = _address(folder / RESULT_FILE)
        return f"[{percent(accuracy)}]({address})<br><small>{percent(bounds[0])} to {percent(bounds[1])}</small>"

    def line(self) -> str:
        n = f"{self.found['autoattack'][0].n:,}" if "autoattack" in self.found else "-"
        size = f"{self.parameters:,}" if self.parameters else "-"
        minutes = f"{self.minutes:.0f}" if self.minutes else "-"
        accuracies = [self.cell("clean"), self.cell("pgd20"), self.cell("autoattack"), n, self.cell("corruptions")]
        return _row([f"[{self.name}]({self.link})", *accuracies, size, minutes, self.origin])


def page(report: str) -> str:
    """Return the page in Markdown.

    Args:
        report: the address of the page of `advss report`.

    Raises:
        AdvssError: a result does not agree with its verdicts.
    """
    zoo, submitted = list(_zoo()), list(_submitted())
    tiers = {
        "Small models": [model for model in zoo if (model.parameters or 0) <= SMALL],
        "Larger models": [model for model in zoo if (model.parameters or 0) > SMALL],
        "Submitted by others": submitted,
    }
    count = sum(len(model.found) for model in zoo + submitted)
    parts = [INTRODUCTION.format(report=report, count=count)]
    parts += [_tier(title, models) for title, models in tiers.items() if models]
    parts += ["## Evidence\n\nThe command makes a number again; `advss verify NAME` repeats a sample of it.\n"]
    return "\n".join(parts + [_evidence(model) for model in zoo + submitted])


def _zoo() -> Iterator[Model]:
    for entry in index.entries():
        folder = sources.SOURCES[entry.stored](entry)
        if found := _read(folder / RESULTS):
            recipe = f"[recipe](../recipes/{entry.full_name}.yaml)"
            minutes = entry.training.get("minutes")
            yield Model(entry.full_name, f"../cards/{entry.full_name}.md", found, entry.parameters, minutes, recipe)


def _submitted() -> Iterator[Model]:
    for folder in submissions.folders():
        origin = f"`{submissions.reference(folder)}`"
        yield Model(folder.name, f"../submissions/{folder.name}", _read(folder / RESULTS), origin=origin)


def _read(folder: Path) -> dict[str, tuple[Result, Path]]:
    """Of several on more and fewer images the last in the order of names counts: cifar10 after cifar10-1k."""
    read = {path.parent: results.check(path) for path in sorted(folder.glob(f"*/{RESULT_FILE}"))}
    return {its.protocol.label: (its, place) for place, its in read.items() if submissions.on_test_images(its)}


def _tier(title: str, models: list[Model]) -> str:
    heading = ["model", "TA", "RA", "AA", "n of AA", "corrupted", "parameters", "minutes", "made from"]
    ranked = sorted(models, key=lambda model: [-(model.accuracy(label) or 0) for label in ("autoattack", "pgd20")])
    about = f", at most {SMALL:,} parameters" if title == "Small models" else ""
    lines = [_row(heading), _row(["---"] * len(heading)), *(model.line() for model in ranked)]
    return f"## {title}{about}\n\n" + "\n".join(lines) + "\n"


def _evidence(model: Model) -> str:
    heading = ["protocol", "images", "accuracy", "time", "files", "command"]
    lines = [_row(heading), _row(["---"] * len(heading))]
    for label, (result, folder) in model.found.items():
        accuracy, bounds = _accuracy(result)
        files = [f"[{name}]({_address(folder / name)})" for name in (RESULT_FILE, VERDICTS_FILE)]
        cells = [label, f"{result.data.name}, {result.n:,}"]
        cells += [f"{percent(accuracy)} ({percent(bounds[0])} to {percent(bounds[1])})", duration(result.seconds)]
        lines.append(_row([*cells, ", ".join(files), f"`{result.command}`"]))
    return f"### {model.name}\n\n" + "\n".join(lines) + "\n"


def _accuracy(result: Result) -> tuple[float, tuple[float, float]]:
    """The number that the protocol is there for, with its interval."""
    details = result.details
    if details.corruption_accuracy is not None and details.corruption_accuracy_ci95 is not None:
        return details.corruption_accuracy, details.corruption_accuracy_ci95
    if result.ra is not None and result.ra_ci95 is not None:
        return result.ra, result.ra_ci95
    return result.ta, result.ta_ci95


def _address(path: Path) -> str:
    return f"{URLS['Source']}/blob/main/{path.relative_to(resources.CHECKOUT)}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
