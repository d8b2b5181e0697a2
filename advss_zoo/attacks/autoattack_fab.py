"""AutoAttack's targeted FAB: along the decision boundary to its nearest point (Croce and Hein, ICML 2020).

Written anew from the paper, with the authors' constants and starting at the image itself, as their standard version
does. Images and targets are rows of one batch, and an image that is broken leaves it at once. In Linf the projection
onto a hyperplane within the box needs no sort.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from advss_zoo.attacks.checks import Network

ALPHA, ETA, BETA = 0.1, 1.05, 0.9  # pull to the image at most, overshoot, and step back from a success
SMALLEST = 1e-8  # of a distance
STEPS = 50  # of Newton's method at most; it takes about five

# Points t (N,P), normals w (N,P) and offsets b (N,): the smallest changes that bring t to w.t = b within the box.
Projection = Callable[[Tensor, Tensor, Tensor], Tensor]


def towards(
    network: Network,
    judge: Network,
    x: Tensor,
    y: Tensor,
    targets: Tensor,
    group: Tensor,
    *,
    sizes: Callable[[Tensor], Tensor],
    eps: float,
    project: Projection,
    iterations: int,
) -> Tensor:
    """Run FAB from x (N,C,H,W) towards the class `targets` (N,); returns images, those of x where it failed.

    Args:
        network: what is followed.
        judge: the same network, which says whether an image is broken.
        y: labels (N,), what x is classified as.
        group: (N,) which rows are of one image; when one of them is broken, all of them leave.
        sizes: norms (N,) of changes.
        eps: how large a change may be.
    """
    found, rows, z = x.clone(), torch.arange(len(x), device=x.device), x.clone()

    def broken(wrong: Tensor) -> Tensor:
        near = wrong & (sizes(z - x[rows]) <= eps)
        if network is not judge and near.any():
            near[near.clone()] = judge(z[near]).argmax(dim=1) != y[rows[near]]
        return near

    def drop(broken: Tensor) -> Tensor:
        """Note the rows that are broken at z; returns which others go on."""
        found[rows[broken]] = z[broken]
        return ~torch.isin(group[rows], group[rows[broken]])

    for _ in range(iterations):
        gap, slope, wrong = linearised(network, z, y[rows], targets[rows])
        near = broken(wrong)
        if near.any():
            stay = drop(near)
            rows, z, gap, slope = rows[stay], z[stay], gap[stay], slope[stay]
        if not len(rows):
            break
        z = _step(z, x[rows], gap, slope, sizes, project)
        wrong = network(z).argmax(dim=1) != y[rows]
        near = broken(wrong)
        if near.any():
            stay = drop(near)
            rows, z, wrong = rows[stay], z[stay], wrong[stay]
        origin = x[rows]
        z = torch.where(wrong.view(-1, 1, 1, 1), origin + (z - origin) * BETA, z)
    return found


def linearised(network: Network, z: Tensor, y: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return by how much the logit of the target exceeds the label's, (N,), the gradient of that, and who is wrong."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = network(z)
        gap = (logits.gather(1, targets[:, None]) - logits.gather(1, y[:, None])).squeeze(1)
        (slope,) = torch.autograd.grad(gap.sum(), z)
    return gap.detach(), slope, logits.detach().argmax(dim=1) != y


def _step(
    z: Tensor, origin: Tensor, gap: Tensor, slope: Tensor, sizes: Callable[[Tensor], Tensor], project: Projection
) -> Tensor:
    """From z and from the image to the linearised boundary, and in between the closer, the nearer z lies to it."""
    n, w = len(z), slope.flatten(1)
    b = (w * z.flatten(1)).sum(dim=1) - gap
    changes = project(torch.cat([z, origin]).flatten(1), torch.cat([w, w]), torch.cat([b, b])).view(2 * n, *z.shape[1:])
    size = sizes(changes).clamp_min(SMALLEST)
    pull = (size[:n] / (size[:n] + size[n:])).clamp_max(ALPHA).view(-1, 1, 1, 1)
    return ((z + ETA * changes[:n]) * (1 - pull) + (origin + ETA * changes[n:]) * pull).clamp(0, 1)


def project_linf(t: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return the changes (N,P) of points t with the smallest largest entry that lead to w.t = b and stay in [0,1].

    Where the box is in the way, as near as it lets. Each entry moves by the same amount, or to the end of the box, so
    what is gained is a concave function of that amount, piecewise linear. Newton's method from 0 never passes the
    solution, and ends at it.
    """
    missing = b - (w * t).sum(dim=1)
    towards = w * missing.sign()[:, None]
    room = torch.where(towards > 0, 1 - t, t)
    weight, missing = towards.abs(), missing.abs()
    amount = torch.zeros_like(missing)
    for _ in range(STEPS):
        moved = torch.minimum(room, amount[:, None])
        rate = (weight * (room > amount[:, None])).sum(dim=1)
        more = ((missing - (weight * moved).sum(dim=1)) / rate).clamp_min(0).nan_to_num(0.0, 0.0)
        more = more * (more > 1e-7 * amount)  # a row that is at its end stays there, whatever others need
        if not more.any():
            break
        amount = (amount + more).clamp_max(1.0)
    return torch.minimum(room, amount[:, None]) * towards.sign()


def projection(norm: str, package: str) -> Projection:
    """Return the projection for a norm: ours in Linf, in L2 and L1 that of the authors' `package`."""
    if norm == "linf":
        return project_linf
    found: Projection = getattr(importlib.import_module(f"{package}.fab_projections"), f"projection_{norm}")
    return found
