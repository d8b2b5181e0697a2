"""Several results as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.results import RESULT_FILE, Result


def results_frame(results: str | Path | Iterable[Result | Path | str]) -> Any:
    """Tabulate results as a `pandas.DataFrame`, one row a result.

    Args:
        results: results, or one or several folders below which there are some (`result.json`); a folder's come in the
            order of their paths. Their numbers are not derived again from the verdicts.

    Returns:
        The columns model, data, split, n, protocol, norm, eps, seed, ta, ta_low, ta_high, ra, ra_low, ra_high,
        corruption_accuracy, images_per_second, device, date, weights_sha256 and folder. Accuracies and their 95% Wilson
        intervals are fractions, NaN where nothing was attacked.

    Raises:
        UsageError: pandas is not installed, or a folder has no results.
        AdvssError: a result is damaged.
    """
    try:
        import pandas
    except ImportError as error:
        raise UsageError("results_frame needs pandas, which is not installed.", "Run `pip install pandas`.") from error
    several = [results] if isinstance(results, str | Path) else results
    return pandas.DataFrame([_row(result) for result in _each(several)])


def _each(results: Iterable[Result | Path | str]) -> Iterator[Result]:
    for result in results:
        if isinstance(result, Result):
            yield result
            continue
        paths = sorted(Path(result).rglob(RESULT_FILE))
        if not paths:
            raise UsageError(f"{result} contains no {RESULT_FILE}.", "`advss eval --out DIR` writes it to DIR.")
        yield from map(Result.read, paths)


def _row(result: Result) -> dict[str, Any]:
    nothing = float("nan")
    ra_low, ra_high = result.ra_ci95 or (nothing, nothing)
    return {
        "model": result.model.name,
        "data": result.data.name,
        "split": result.data.split,
        "n": result.n,
        "protocol": result.protocol.label,
        "norm": result.protocol.norm,
        "eps": result.protocol.eps,
        "seed": result.seed,
        "ta": result.ta,
        "ta_low": result.ta_ci95[0],
        "ta_high": result.ta_ci95[1],
        "ra": nothing if result.ra is None else result.ra,
        "ra_low": ra_low,
        "ra_high": ra_high,
        "corruption_accuracy": result.details.corruption_accuracy,
        "images_per_second": result.images_per_second,
        "device": result.device,
        "date": result.date,
        "weights_sha256": result.model.weights_sha256,
        "folder": str(result.folder) if result.folder else None,
    }
