"""Attack a standard and a robust classifier with several attacks: python examples/attack.py [IMAGES]"""

import sys

import advss_zoo as az


def main(limit: int = 32) -> None:
    images, labels = az.load_data("cifar10-1k", limit=limit)
    print("model".ljust(12), "attack".ljust(8), "accuracy")
    for name in ("p1f3", "selfie-p3f4"):  # trained without and with an adversary
        model = az.load_model(name)
        attacked = {
            "none": images,
            "fgsm": az.attacks.fgsm(model, images, labels, eps=8 / 255),
            "pgd": az.attacks.pgd(model, images, labels, eps=8 / 255, steps=20),
            "l2 pgd": az.attacks.pgd(model, images, labels, norm="l2", eps=0.5, steps=20),
        }
        for attack, x in attacked.items():
            accuracy = (model(x).argmax(dim=1) == labels).float().mean()
            print(name.ljust(12), attack.ljust(8), f"{accuracy:.1%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
