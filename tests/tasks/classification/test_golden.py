"""The first 20 training losses of every optimizer on the digits, float64 on a CPU: a change of any of them is a change of the method.

Methods that form a loss and hand its gradient to an optimizer, as those that mix images, are compared with other programs instead.

`PYTHONPATH=.:tests python tests/tasks/classification/test_golden.py` writes the file anew after a deliberate change.
"""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import ROOT
from hydra.utils import get_object

from bench.models import mlp
from bench.seeding import generator, stream_seed
from datasets.images.digits import digits

GOLDEN = ROOT / "tests/golden/losses.json"
NODES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "conf/method").glob("*.yaml"))}
METHODS = [name for name, node in NODES.items() if "classification" in node["tasks"] and "defaults" not in node]


def losses(method: str, steps: int = 20, batch: int = 64) -> list[float]:
    """Losses at x_1..x_20 with the method's configured hyper-parameters; one pass of 20 minibatches."""
    node = yaml.safe_load((ROOT / "conf/method" / f"{method}.yaml").read_text())
    target, _ = node.pop("_target_"), node.pop("tasks")
    node = {k: float(v) if k in ("lr",) else v for k, v in node.items()}
    data = digits("", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(0, "init"))
        model = mlp(1, 10, 8, hidden=[32]).double()
    offered = {"num_examples": len(data.train_y), "seed": 0, "total_steps": steps}
    takes = inspect.signature(get_object(target)).parameters
    supplied = {name: value for name, value in offered.items() if name in takes}
    opt = get_object(target)(list(model.parameters()), **supplied, **node)
    order = torch.randperm(len(data.train_y), generator=generator(0, "order"))[: steps * batch].split(batch)

    def closure(index: int | None = None) -> torch.Tensor:
        chosen = torch.cat(order) if index is None else order[index]
        opt.zero_grad()
        loss = F.cross_entropy(model(data.train_x[chosen].double() / 255), data.train_y[chosen])
        loss.backward()
        return loss

    if hasattr(opt, "snapshot"):
        opt.snapshot(closure, steps)
    return [opt.step(lambda i=i: closure(i)).item() for i in range(steps)]


@pytest.mark.parametrize("method", METHODS)
def test_first_twenty_losses(method):
    np.testing.assert_allclose(losses(method), json.loads(GOLDEN.read_text())[method], rtol=1e-6)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({m: losses(m) for m in METHODS}, indent=1) + "\n")
