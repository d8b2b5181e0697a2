"""Put an ensemble together, and see which member fools which: python examples/ensemble.py [IMAGES]"""

import sys

import advss_zoo as az


def main(limit: int = 32) -> None:
    ensemble = az.load_model("selfie-p3f4+rotation-p3f4+jigsaw-p3f4")
    pgd, transfer = az.evaluate(ensemble, "cifar10-1k", ["pgd20", "transfer"], limit=limit)
    print(f"TA {pgd.ta:.1%}, RA {pgd.ra:.1%} under PGD on the mean prediction")
    rates = transfer.details.transfer
    for source, row in zip(rates.sources, rates.asr, strict=True):
        fooled = ", ".join(f"{target} {rate:.1%}" for target, rate in zip(rates.targets, row, strict=True))
        print(f"adversarial images made on {source} are misclassified by: {fooled}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
