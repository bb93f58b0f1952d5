"""Hand-made runs for the tests of claims and reports."""

from __future__ import annotations

from typing import Any

from bench.judge.archive import Record
from bench.judge.papers import Claim

CONFIG = {
    "task": {"horizons": [100, 1000], "theory": True},
    "method": {"lr": 1.0},
    "dataset": {"dim": 10, "num_components": 256},
}


def run(method: str, seed: int, metrics: dict[str, Any] | None, **changes: Any) -> Record:
    """A run of ssvr/rate_finite_sum at mini scale; `config` changes single values by their dotted path; metrics None: not run."""
    config = {part: dict(values) for part, values in CONFIG.items()}
    for path, value in changes.pop("config", {}).items():
        part, key = path.split(".")
        config[part][key] = value
    values = {
        "experiments": ("ssvr/rate_finite_sum@mini",),
        "task": "finite_sum",
        "method": method,
        "dataset": "least_squares",
        "model": "",
        "key": f"{method}{sorted((p, sorted(v.items())) for p, v in config.items())}",
        "seed": seed,
        "state": "missing" if metrics is None else "done",
        "status": "" if metrics is None else "finished",
        "code": "c",
        "precision": "fp32",
        "seconds": None if metrics is None else 1.0,
        "config": config,
        "metrics": {} if metrics is None else {"gradient_evaluations": 1000, "iterations": 1000, **metrics},
        "curve": [],
    }
    return Record(**{**values, **changes})


def runs(method: str, values: list[float], metric: str = "mean_grad_l1", **changes: Any) -> list[Record]:
    """One run a value, seeds 0, 1, ..."""
    return [run(method, seed, {metric: value}, **changes) for seed, value in enumerate(values)]


def claim(**check: Any) -> Claim:
    """A claim about ssvr/rate_finite_sum with this check; `scales`, `each` and `deterministic` may be among the arguments."""
    more = {name: check.pop(name) for name in ("scales", "each", "deterministic") if name in check}
    source = {"tier": "paper", "where": "Theorem 2", "how": "read", "reference": "arXiv 2406.00489"}
    content = {"says": "something", "source": source, "experiment": "ssvr/rate_finite_sum", **more}
    return Claim.model_validate({**content, "check": {"metric": "mean_grad_l1", **check}})
