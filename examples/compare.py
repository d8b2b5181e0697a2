"""Evaluate several models under several protocols, as a table and as a page: python examples/compare.py [IMAGES]"""

import sys

import advss_zoo as az


def main(limit: int = 64) -> None:
    results = []
    for name in ("p1f3", "p1f4", "selfie-p3f4"):
        results += az.evaluate(name, "cifar10-1k", ["pgd20", "corruptions"], limit=limit, out=f"runs/compare/{name}")
    print(az.results_frame(results)[["model", "protocol", "n", "ta", "ra"]].to_string(index=False))
    print(az.report(["runs/compare"], "compare.html"))  # the same folder again: finished results are not made again


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
