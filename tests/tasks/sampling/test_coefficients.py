"""Summaries of samples of coefficients: intervals, modes, errors and paths by hand, and through the program."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from conftest import result_of, seed_folders
from scipy.stats import norm

from bench.tasks.sampling.coefficients import Coefficients, mode, summaries

NORMAL = torch.from_numpy(norm.ppf((np.arange(20_000) + 0.5) / 20_000))  # the standard normal law's own quantiles


def known(**more) -> Coefficients:
    rows = {"half": torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64)}
    return Coefficients(["a", "b", "c"], torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), rows, **more)


def made() -> torch.Tensor:
    """Means 1.5, 2, 0 and standard deviations 1, 0.5, 2 in three coordinates."""
    return torch.stack([1.5 + NORMAL, 2 + 0.5 * NORMAL, 2 * NORMAL.flip(0)], 1)


def test_means_intervals_and_errors_of_normal_samples():
    rows, final = summaries(made(), known())
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert [row["coefficient"] for row in rows] == [0, 1, 2]
    assert [row["truth"] for row in rows] == [1.0, 2.0, 4.0]
    for row, mean, deviation in zip(rows, (1.5, 2.0, 0.0), (1.0, 0.5, 2.0)):
        assert row["mean"] == pytest.approx(mean, abs=1e-9)
        assert (row["low"], row["high"]) == pytest.approx(tuple(norm.ppf([0.025, 0.975], mean, deviation)), abs=2e-3)
    assert final["max_error"] == pytest.approx(4.0)
    assert final["rms_error"] == pytest.approx(math.sqrt((0.25 + 16) / 3))
    assert final["covered"] == pytest.approx(2 / 3), "4 is beyond 1.96 standard deviations of 2"
    assert "valid_time" not in final
    assert "mean_offset" not in final


def test_a_derived_one_is_the_combination_of_the_samples():
    """(a - b) / 2 of samples that move together: its deviation is (1 - 0.5) / 2, which independent intervals would not give."""
    _, final = summaries(made(), known())
    assert final["half"] == pytest.approx(-0.25)
    assert final["half_error"] == pytest.approx(0.25), "the truth is -1/2"
    assert (final["half_low"], final["half_high"]) == pytest.approx(
        tuple(norm.ppf([0.025, 0.975], -0.25, 0.25)), abs=2e-3
    )
    assert final["half_mode"] == pytest.approx(-0.25, abs=0.02)


def test_against_the_exact_law():
    exact = {
        "mean": torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64),
        "deviation": torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64),
    }
    _, final = summaries(made(), known(**exact))
    assert final["mean_offset"] == pytest.approx(1.0)
    assert (final["spread_min"], final["spread_max"]) == pytest.approx((0.5, 2.0), abs=1e-3)


def test_the_mode_is_the_higher_peak_s_and_no_mean():
    two = torch.cat([0.3 * NORMAL[::2] - 2, 0.3 * NORMAL + 3])
    two = two[torch.randperm(len(two), generator=torch.Generator().manual_seed(0))]
    assert mode(two) == pytest.approx(3.0, abs=0.1)
    skewed = torch.distributions.Exponential(1.0).icdf((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    assert mode(skewed) < 0.5 < float(skewed.mean())


def test_the_mode_of_samples_that_do_not_move_or_are_not_numbers():
    assert mode(torch.full((10,), 2.5, dtype=torch.float64)) == 2.5
    assert mode(torch.zeros(10, dtype=torch.float64)) == 0.0
    assert mode(torch.ones(1, dtype=torch.float64)) == 1.0
    assert math.isnan(mode(torch.tensor([1.0, math.inf], dtype=torch.float64)))
    rows, final = summaries(torch.full((4, 3), math.nan, dtype=torch.float64), known())
    assert math.isnan(final["max_error"])
    assert len(rows) == 3


def growth(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(x_0 t) at times 0, 0.1, ..., 2."""
    times = torch.arange(21, dtype=torch.float64) / 10
    return times, (x[0] * times).exp()


def test_the_path_is_the_last_sample_s_until_it_parts():
    samples = made()
    samples[-1, 0] = 1.3
    rows, final = summaries(samples, known(path=growth))
    rows = rows[3:]
    assert [row["time"] for row in rows] == pytest.approx([t / 10 for t in range(21)])
    assert rows[-1]["trajectory"] == pytest.approx(math.exp(2.6))
    assert rows[-1]["true_trajectory"] == pytest.approx(math.exp(2.0))
    spread = 0.4 * float(np.std(np.exp(np.arange(21) / 10), ddof=1))
    parted = next(t for t in range(21) if math.exp(0.13 * t) - math.exp(0.1 * t) > spread)
    assert final["valid_time"] == pytest.approx((parted - 1) / 10)
    assert 0 < final["valid_time"] < 2


def test_a_path_that_overflows_ends_there():
    def path(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.arange(5, dtype=torch.float64)
        return values, torch.where((values > 2) & (x[0] > 1.2), math.inf, values)

    rows, final = summaries(made(), known(path=path))
    assert [row["time"] for row in rows[3:]] == [0, 1, 2]
    assert final["valid_time"] == 2.0


def test_a_run_has_intervals_and_a_trajectory(program, tmp_path):
    chosen = [
        "method=resgld_lorenz",
        "dataset=lorenz",
        "dataset.points=2000",
        "dataset.batch_size=512",
        "dataset.start=truth",
    ]
    done = program(*chosen, "seeds=[0,1]", "scale=smoke", "task.evaluations=400", "task.burn_in=100", "task.thin=2")
    assert done.returncode == 0, done.stderr
    for folder in seed_folders(tmp_path):
        result = result_of(folder)
        final = result["metrics"]
        assert result["status"] == "finished"
        assert final["share_outside"] == 0
        assert final["sigma_low"] < final["sigma"] < final["sigma_high"]
        assert final["sigma_error"] == pytest.approx(abs(final["sigma"] - 10))
        assert final["max_error"] < 1, "so close to the truth a few steps remain"
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["coefficient"] for row in rows if "coefficient" in row] == list(range(15))
        path = [row for row in rows if "trajectory" in row]
        assert path[0]["trajectory"] == path[0]["true_trajectory"] == -8
        assert len(path) == 301
        assert path[30]["trajectory"] != path[30]["true_trajectory"]
