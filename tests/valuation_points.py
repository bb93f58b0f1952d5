"""Points for tests of the valuation task: Gaussian classes as features or as small images, some labels flipped; the features as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.tasks.valuation.points import Points
from bench.tasks.valuation.protocol import Problem


def gaussian(
    root: str,
    seed: int,
    *,
    n: int = 300,
    m: int = 60,
    k: int = 3,
    rate: float = 0.3,
    flags: bool = True,
    noise: float = 1.0,
) -> Points:
    """n points of k classes round the corners of a simplex; floor(rate n) labels are another class's."""
    draw = torch.Generator().manual_seed(seed)
    y, reference_y, test_y = (torch.randint(k, (size,), generator=draw) for size in (n, m, m))
    x, reference_x, test_x = (
        4 * torch.eye(k)[labels] + noise * torch.randn(len(labels), k, generator=draw)
        for labels in (y, reference_y, test_y)
    )
    corrupted = torch.zeros(n, dtype=torch.bool)
    corrupted[torch.randperm(n, generator=draw)[: int(rate * n)]] = True
    given = torch.where(corrupted, (y + torch.randint(1, k, (n,), generator=draw)) % k, y)
    known = {"corrupted": corrupted, "true_y": y} if flags else {}
    return Points(x, given, reference_x, reference_y, k, test_x=test_x, test_y=test_y, **known)


def images(root: str, seed: int, *, n: int = 96, pixels: str = "uint8", tests: bool = True) -> Points:
    """Grey images [n, 1, 8, 8] of two classes, light above or light below, in pixel units."""
    draw = torch.Generator().manual_seed(seed)
    y, reference_y, test_y = (torch.randint(2, (size,), generator=draw) for size in (n, 32, 40))
    light = torch.zeros(2, 1, 8, 8)
    light[0, :, :4], light[1, :, 4:] = 120.0, 120.0
    x, reference_x, test_x = (
        (60 + light[labels] + 20 * torch.randn(len(labels), 1, 8, 8, generator=draw)).clamp(0, 255)
        for labels in (y, reference_y, test_y)
    )
    corrupted = torch.arange(n) % 4 == 0
    made = Points(
        x, torch.where(corrupted, 1 - y, y), reference_x, reference_y, 2, corrupted, y, test_x, test_y, (0.4,), (0.3,)
    )
    if pixels == "uint8":
        whole = {name: getattr(made, name).round().to(torch.uint8) for name in ("train_x", "reference_x", "test_x")}
        made = replace(made, **whole)
    return made if tests else replace(made, test_x=None, test_y=None)


class Flat:
    """Features are the pixels, or what they were."""

    def __init__(self, root: str) -> None:
        assert root == "nowhere"

    def prepare(self, points: Points, seed: int) -> None:
        """Nothing to train."""

    def identity(self) -> str:
        return "flat"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).float()


class Constant:
    """A method that gives all points one value."""

    notice = "all points are alike"

    def begin(self, problem: Problem) -> int:
        self.n = len(problem.y)
        return 1

    def advance(self, unit: int) -> None:
        """Nothing."""

    def values(self) -> torch.Tensor:
        return torch.zeros(self.n, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


class Late(Constant):
    """Its notice changes with the last unit."""

    def advance(self, unit: int) -> None:
        """Says so."""
        self.notice = "all points were alike"


class Broken(Constant):
    """One value is NaN."""

    def values(self) -> torch.Tensor:
        found = super().values()
        found[3] = float("nan")
        return found


class Short(Constant):
    """One value too few."""

    def values(self) -> torch.Tensor:
        return super().values()[1:]


def problem(points: Points, seed: int = 0, dtype: torch.dtype = torch.float32) -> Problem:
    """What a method sees of points that are features."""
    x, reference = points.train_x.to(dtype), points.reference_x.to(dtype)
    return Problem(x, points.train_y, reference, points.reference_y, points.num_classes, seed)


def advanced(method: Any, seen: Problem) -> torch.Tensor:
    """All units of a method; its values."""
    for unit in range(method.begin(seen)):
        method.advance(unit)
    return method.values()


def valuation_job(folder: Path, method: str, *, points: str = "gaussian", seeds: str = "[0]", **keys: Any) -> Any:
    """A job of the task on these points: keys are task's, or of the data set as dataset_n, of the method as method_k."""
    from dataclasses import replace as changed

    from conftest import QUIET, ROOT, job_of

    from bench.run.config import typed
    from bench.tasks.valuation.loop_options import _node

    fixed = [*QUIET, "verbose=false", "scale=smoke", f"seeds={seeds}", f"results_root={folder / 'results'}"]
    base = job_of("method=sgd", "dataset=digits", "data_root=nowhere", *fixed)
    own = {
        group: {k[len(group) + 1 :]: v for k, v in keys.items() if k.startswith(f"{group}_")}
        for group in ("dataset", "method")
    }
    task = _node("task", "valuation", "smoke") | {
        k: v for k, v in keys.items() if not k.startswith(("dataset_", "method_"))
    }
    if (ROOT / "conf/method" / f"{method}.yaml").exists():
        content = {k: v for k, v in _node("method", method, "smoke").items() if k != "tasks"}
        node = typed("method", content | own["method"])
    else:
        node = {"_target_": f"valuation_points.{method}"}
    parts = {
        "task": typed("task", task),
        "method": node,
        "dataset": {"_target_": f"valuation_points.{points}", **own["dataset"]},
        "model": {"_target_": "valuation_points.Flat"},
    }
    names = {"task": "valuation", "method": method, "dataset": points, "model": "flat"}
    return changed(base, parts=parts, names=names, asked="0" * 64, experiment=None)
