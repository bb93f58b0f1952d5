"""Outside references of the transport values: GeomLoss' potentials, and its formula for batch-wise LAVA."""

from __future__ import annotations

from typing import Any

import torch
import yaml
from conftest import ROOT
from geomloss import SamplesLoss
from torch import Tensor
from transport_points import problem, valued

from methods.valuation.costs import diameter
from methods.valuation.lava import LAVA
from methods.valuation.sava import BatchwiseLAVA


def keys_of(name: str) -> dict[str, Any]:
    """What conf/method/<name>.yaml gives the constructor."""
    node = yaml.safe_load((ROOT / f"conf/method/{name}.yaml").read_text())
    return {
        key: float(v) if isinstance(v, str) and key in ("tolerance", "outer_epsilon") else v
        for key, v in node.items()
        if key not in ("_target_", "tasks")
    }


def potentials() -> Tensor:
    """f [N] of GeomLoss' tensorized backend on `problem()`, with label distances by the same."""
    p = problem()
    keys = {"p": 2, "blur": 0.1**0.5, "backend": "tensorized", "diameter": diameter(p.x, p.reference_x)}
    small = SamplesLoss("sinkhorn", debias=False, **keys)
    classes = range(p.num_classes)
    w = torch.stack(
        [torch.stack([small(p.x[p.y == c], p.reference_x[p.reference_y == k]) for k in classes]) for c in classes]
    )
    both = torch.cat([torch.cat([0 * w, w], 1), torch.cat([w.T, 0 * w], 1)])

    def cost(a: Tensor, b: Tensor) -> Tensor:
        squares = (a[:, :, None, :-1] - b[:, None, :, :-1]).square().sum(-1)
        return (squares + both[a[0, :, -1].long()][:, b[0, :, -1].long()]) / 2

    whole = SamplesLoss("sinkhorn", cost=cost, **keys)
    whole.debias, whole.potentials = False, True
    sides = ((p.x, p.y), (p.reference_x, p.reference_y + p.num_classes))
    f, _ = whole(*(torch.cat([x, y[:, None].to(x)], 1) for x, y in sides))
    return f.flatten()


def lava() -> None:
    f = potentials()
    found = valued(LAVA(**keys_of("lava")), problem())
    torch.testing.assert_close(found, -(f - (f.sum() - f) / (len(f) - 1)), rtol=0, atol=1e-7)


def batchwise_lava() -> None:
    """One batch of each side: votes of GeomLoss' gradients."""
    f = potentials()
    votes = ((f - (f.sum() - f) / (len(f) - 1)).tanh() + 1) / 2
    found = valued(BatchwiseLAVA(**keys_of("batchwise_lava") | {"order": "as_given"}), problem())
    torch.testing.assert_close(found, -votes / votes.sum(), rtol=0, atol=1e-9)


def batchwise_lava_mean() -> None:
    """One batch of each side: GeomLoss' gradients themselves."""
    f = potentials()
    found = valued(BatchwiseLAVA(**keys_of("batchwise_lava_mean") | {"order": "as_given"}), problem())
    torch.testing.assert_close(found, -(f - (f.sum() - f) / (len(f) - 1)), rtol=0, atol=1e-7)


REFERENCES = {"lava": lava, "batchwise_lava": batchwise_lava, "batchwise_lava_mean": batchwise_lava_mean}
