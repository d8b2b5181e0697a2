"""Train a network of your own adversarially, in your own loop: python examples/own_model.py [IMAGES]

Any module will do that maps images in [0,1] to logits; normalisation belongs inside.
"""

import sys

import torch
from torch import nn

import advss_zoo as az


def network() -> nn.Module:
    layers: list[nn.Module] = [nn.BatchNorm2d(3)]
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main(limit: int = 128, epochs: int = 5) -> None:
    torch.manual_seed(0)
    data = az.load_data("cifar10-1k", limit=limit)  # test images: for a demonstration only
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(epochs):
        for images, labels in data.loader(32, shuffle=True):
            attacked = az.attacks.pgd(model, images, labels, eps=8 / 255, steps=5, seed=epoch)
            loss = nn.functional.cross_entropy(model(attacked), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    result = az.evaluate(model, data, "pgd20")
    low, high = result.ra_ci95
    print(f"on the images it was trained on: TA {result.ta:.1%}, RA {result.ra:.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
