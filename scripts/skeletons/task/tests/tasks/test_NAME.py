"""Whole runs of NAME against a plain rewriting; a run that is killed goes on from its checkpoint."""

from __future__ import annotations

import pytest
from conftest import QUIET, job_of

from bench.run.curve import read_metrics
from bench.run.runner import execute
from datasets.NAME_stream import NormalStream

LINE = ("method=NAME_mean", "dataset=NAME_stream", "scale=smoke", "seeds=[0]", "verbose=false", *QUIET)


def test_the_logged_error_is_that_of_the_mean(tmp_path):
    """FILL IN: compute what the task logs once more, without its code."""
    outcome = execute(job_of(*LINE, f"results_root={tmp_path}"))
    stream, total, expected = NormalStream("", 0), 0.0, []
    for step in range(1, 17):
        total += stream.sample(step)
        expected.append((total / step - 3.0) ** 2)
    assert [row["error"] for row in read_metrics(outcome.job.folder / "seed0")] == pytest.approx(expected, rel=1e-12)
