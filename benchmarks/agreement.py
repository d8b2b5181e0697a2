"""How well do `quick-malt` and `autoattack-sampled` agree with AutoAttack on the zoo?

    advss suite suites/quick.yaml --out runs/quick
    python benchmarks/agreement.py runs/quick

Prints a table in Markdown: for each model RA under AutoAttack, whose verdicts lie with its weights, on the same images;
RA under `quick-malt` and on how many images the verdicts differ; and the estimate of `autoattack-sampled` with its
interval, which should hold AutoAttack's RA. Any folder of results with these protocols will do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from advss_zoo.data.catalogue import SUBSET
from advss_zoo.evaluation.results import RESULT_FILE, Result, check, result_slug
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.texts import percent
from advss_zoo.zoo import RESULTS, sources


def recorded(result: Result) -> Verdicts:
    """Those of the zoo's own AutoAttack on the first images of a result.

    Raises:
        SystemExit: it saw fewer images, or other ones.
    """
    folder = sources.fetch(result.model.name).path / RESULTS / result_slug(SUBSET, "autoattack")
    found = check(folder / RESULT_FILE).verdicts.first(result.n)
    if not (found.index.tolist() == result.verdicts.index.tolist() and result.data.name == SUBSET):
        raise SystemExit(f"{result.model.name} was not evaluated under AutoAttack on these images.")
    return found


def row(model: str, quick: Result | None, sampled: Result | None) -> str:
    given = quick or sampled
    assert given is not None
    whole = recorded(given)
    cells = [model, f"{given.n:,}", percent((whole.ra_hits or 0) / given.n), "", "", "", ""]
    if quick:
        differ = int((quick.verdicts.standing != whole.standing).sum())
        cells[3:5] = percent(quick.ra), f"{differ}"
    if sampled and (score := sampled.details.sampled):
        low, high = score.ra_ci95
        cells[5] = f"{percent(score.ra)} ({percent(low)} to {percent(high)})"
        cells[6] = "yes" if low <= (recorded(sampled).ra_hits or 0) / sampled.n <= high else "no"
    return f"| {' | '.join(cells)} |"


def main() -> None:
    found: dict[str, dict[str, Result]] = {}
    for path in sorted(Path(sys.argv[1]).rglob(RESULT_FILE)):
        result = check(path)
        kind = "sampled" if result.details.sampled else result.protocol.name
        found.setdefault(result.model.name, {})[kind] = result
    print("| model | images | AutoAttack | quick-malt | differ | autoattack-sampled (95%) | holds AutoAttack |")
    print("|---|---|---|---|---|---|---|")
    for model, results in found.items():
        print(row(model, results.get("quick-malt"), results.get("sampled")))


if __name__ == "__main__":
    main()
