"""Values by optimal transport: LAVA and SAVA against GeomLoss' tensorized backend on the same points, label distances included."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from stopwatch import Row, interleaved
from torch import Tensor
from torch.nn.functional import one_hot

from methods.valuation.costs import diameter
from methods.valuation.lava import lava_values
from methods.valuation.sava import sava_values

N, M, CLASSES = 10_000, 2_000, 10


def points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Gaussian classes, means 12 onehot - 1.2, standard deviation 3."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    return 12 * one_hot(y, CLASSES) - 1.2 + 3 * torch.randn(count, CLASSES, generator=g), y


def by_geomloss(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor) -> Callable[[], Tensor]:
    """LAVA's values as its released code has them: a problem for each pair of classes, then one of all points, whole matrices."""
    from geomloss import SamplesLoss

    keys = {"p": 2, "blur": 0.1**0.5, "scaling": 0.5, "backend": "tensorized", "diameter": diameter(x, other_x)}

    def run() -> Tensor:
        small = SamplesLoss("sinkhorn", debias=False, **keys)
        w = torch.tensor(
            [[float(small(x[y == c], other_x[other_y == k])) for k in range(CLASSES)] for c in range(CLASSES)]
        )
        nothing = torch.zeros_like(w)
        both = torch.cat([torch.cat([nothing, w], 1), torch.cat([w.T, nothing], 1)])

        def cost(a: Tensor, b: Tensor) -> Tensor:
            p, q = a[0, :, :-1], b[0, :, :-1]
            squares = (p**2).sum(1)[:, None] + (q**2).sum(1) - 2 * p @ q.T
            return (squares + both[a[0, :, -1].long()][:, b[0, :, -1].long()])[None] / 2

        whole = SamplesLoss("sinkhorn", cost=cost, **keys)
        whole.debias, whole.potentials = False, True
        f, _ = whole(torch.cat([x, y[:, None].float()], 1), torch.cat([other_x, other_y[:, None].float() + CLASSES], 1))
        return (f.mean() - f.flatten()) * len(x) / (len(x) - 1)

    return run


def valuation(rounds: int) -> list[Row]:
    """10,000 points of 10 features against 2,000: LAVA and SAVA, and GeomLoss' tensorized backend; label distances included."""
    given = (*points(N, 0), *points(M, 1))
    theirs = by_geomloss(*given)
    ours, wanted = lava_values(*given), theirs().double()
    gap = float((ours - wanted).abs().max())
    works = {
        "LAVA, GeomLoss tensorized": theirs,
        "LAVA": lambda: lava_values(*given),
        "LAVA, streamed": lambda: lava_values(*given, stream=True),
        "SAVA, batches of 1,024": lambda: sava_values(*given),
    }
    seconds = {name: statistics.median(found) for name, found in interleaved(works, rounds).items()}
    first = seconds["LAVA, GeomLoss tensorized"]
    rows = [(name, f"{s:.2f} s", f"{first / s:.1f} x") for name, s in seconds.items()]
    return [*rows, ("LAVA: largest difference from GeomLoss' values", f"{gap:.1e}", f"of {float(wanted.std()):.0f}")]
