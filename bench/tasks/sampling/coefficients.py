"""Samples of a model's coefficients: credible intervals, modes, errors against the truth, and a path of the model that a sample stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import gaussian_kde
from torch import Tensor

LEVEL = 0.95
KERNELS, GRID = 4000, 512  # of a density's estimate: samples at most, and places at which its mode is sought
NEAR = 0.4  # of the true path's standard deviation: a path is valid until it is farther from it


@dataclass(frozen=True)
class Coefficients:
    """What is known of the coordinates.

    Attributes:
        names: of all d of them.
        truth: [d].
        derived: named linear combinations that matter, rows [d].
        mean, deviation: of the law that is sampled, exact, [d]; None: not known.
        path: times [n] and values [n] of the model with coefficients [d]; None: it has none.
    """

    names: list[str]
    truth: Tensor
    derived: dict[str, Tensor]
    mean: Tensor | None = None
    deviation: Tensor | None = None
    path: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None


def summaries(samples: Tensor, known: Coefficients) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Of samples [K, d]: a row a coefficient (`coefficient`, `name`, `mean`, `low`, `high`, `truth`), rows of a path, and final metrics.

    Final: `max_error` and `rms_error` of the means; for each derived one `<name>` its mean, `<name>_error` its distance from the truth,
    `<name>_mode` the mode of a kernel density estimate, `<name>_low` and `<name>_high` the ends of its 95 % interval; `covered`, the share
    of coefficients whose interval holds the truth. Where the law is known, `mean_offset`, the largest distance of a mean from the exact one
    in exact standard deviations, and `spread_min`, `spread_max`, the ratios of standard deviations to the exact ones. Where there are paths
    `valid_time`, until that of the last sample leaves the true one's surroundings.
    """
    samples = samples.cpu()
    mean, (low, high) = samples.mean(0), _interval(samples)
    error = (mean - known.truth).abs()
    columns = {"mean": mean, "low": low, "high": high, "truth": known.truth}
    rows: list[dict[str, Any]] = [
        {"coefficient": i, "name": name, **{key: float(column[i]) for key, column in columns.items()}}
        for i, name in enumerate(known.names)
    ]
    final = {
        "max_error": float(error.max()),
        "rms_error": float(error.square().mean().sqrt()),
        "covered": float(((low <= known.truth) & (known.truth <= high)).double().mean()),
    }
    for name, row in known.derived.items():
        final |= _of_one(name, samples @ row, float(known.truth @ row))
    if known.mean is not None and known.deviation is not None:
        ratio = samples.std(0, correction=0) / known.deviation
        final["mean_offset"] = float(((mean - known.mean).abs() / known.deviation).max())
        final |= {"spread_min": float(ratio.min()), "spread_max": float(ratio.max())}
    if known.path is not None:
        more, final["valid_time"] = _path(samples[-1], known.truth, known.path)
        rows += more
    return rows, final


def _interval(samples: Tensor) -> Tensor:
    """The central 95 % of samples [K, ...], [2, ...]; torch's own quantiles refuse more than 2^24 numbers."""
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return torch.from_numpy(np.quantile(samples.numpy(), levels, axis=0))


def _of_one(name: str, values: Tensor, truth: float) -> dict[str, float]:
    mean, (low, high) = float(values.mean()), _interval(values).tolist()
    found = {name: mean, f"{name}_error": abs(mean - truth), f"{name}_mode": mode(values)}
    return found | {f"{name}_low": low, f"{name}_high": high}


def mode(values: Tensor) -> float:
    """Where a Gaussian kernel density estimate of values [K] is highest, on a grid between the smallest and the largest; Scott's bandwidth.

    Of many values evenly spaced ones are taken. NaN where one is not finite, the value itself where all are equal.
    """
    v = values[:: -(-len(values) // KERNELS)].numpy()
    if not np.isfinite(v).all():
        return float("nan")
    if np.ptp(v) <= 1e-12 * np.abs(v).max():
        return float(v[0])
    grid = np.linspace(v.min(), v.max(), GRID)
    return float(grid[gaussian_kde(v)(grid).argmax()])


def _path(
    sample: Tensor, truth: Tensor, path: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[list[dict[str, Any]], float]:
    """Rows `time`, `trajectory` of a sample and `true_trajectory`, as far as the first is finite; and when they part."""
    times, mine = path(sample)
    true = path(truth)[1]
    close = ((mine - true).abs() <= NEAR * true.std()).int().cumprod(0)
    valid = float(times[int(close.sum()) - 1]) if close[0] else 0.0
    end = int(mine.isfinite().int().cumprod(0).sum())
    columns = zip(*(v[:end].tolist() for v in (times, mine, true)))
    return [{"time": t, "trajectory": x, "true_trajectory": y} for t, x, y in columns], valid
