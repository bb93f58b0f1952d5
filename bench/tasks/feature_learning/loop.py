"""Learn the directions of a Gaussian index model with a two-layer network; how many samples does it take?

All dimensions d, settings of a grid, seeds and their replicates advance in one batch. A seed's numbers are means (hitting times: medians) over
its replicates, independent runs with their own directions, networks and samples.

Shapes: G settings, P = seeds x replicates paths of a dimension, C paths of all dimensions side by side, N neurons, k directions.
"""

from __future__ import annotations

from typing import Any, Literal

from bench.run.session import Session
from bench.tasks.feature_learning.all_samples_loop import AllSamples
from bench.tasks.feature_learning.measures import Measures
from bench.tasks.feature_learning.one_pass import one_thread
from bench.tasks.feature_learning.one_pass_loop import OnePass
from bench.tasks.feature_learning.problem import Problem
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability

BATCHES_SEEDS = True


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    samples: list[PositiveFloat],
    samples_power: NonNegativeFloat,
    samples_log: bool,
    iterations: list[PositiveInt] | None,
    replicates: PositiveInt,
    grid: dict[str, list[float]] | None,
    precision: Literal["double", "single"],
    aligned_at: Probability,
    threshold: Probability,
    sustain: NonNegativeFloat,
    stop: Literal["never", "all", "any"],
    ridge_samples: NonNegativeInt,
    ridge_penalties: list[PositiveFloat],
    ridge_bias: NonNegativeFloat,
    test_samples: PositiveInt,
) -> None:
    """Log, for each dimension d and each number of samples n = samples d^samples_power (ln d), a row; with a grid one for each setting.

    A method of fresh samples passes by these n and ends at the last. One that keeps its samples starts anew for each n, and logs rows after
    `iterations` steps too.

    Rows: `overlap_mean` and `overlap_max` over neurons of |<w, theta>| / ||w|| (the norm of the projection on all directions where k > 1),
    `overlap_1`, ... (the largest |cosine| with each direction), `aligned` (share of neurons with an overlap of at least `aligned_at`),
    `projection` (mean over neurons of sign(a) <w, u>, u the direction of E[y z]), `samples`, `samples_per_dim`, `iterations`,
    `gradient_evaluations`; at the end of a dimension also `population_loss` (1/2 E (f - y)^2, closed form), `test_loss` (the same on fresh
    samples), `network_error` and `train_error` (E (f - y)^2 / Var y of the network itself), `norm_error` (largest | ||w|| - 1 |),
    `test_error` (that of the second phase: a ridge second layer on new biases and samples), and `hitting_time`, the samples until the mean
    overlap stays above `threshold` for `sustain` d more; none where fewer than half of the replicates got there. With a grid a last row of
    each d has the best setting's numbers, of each seed and known only afterwards (`tuned_hitting_time`, `tuned_lr`, ...). Final metrics:
    those of the largest d by the first setting, `hitting_slope` and `tuned_hitting_slope` (of log hitting time against log d), the link's
    exponents, and `theory_slope`, what theory says of the method.
    """
    measures = Measures(aligned_at, threshold, sustain, ridge_samples, ridge_penalties, ridge_bias, test_samples)
    problem = Problem(session, sorted(samples), replicates, grid or {}, precision, measures)
    problem.begin(samples_power, samples_log, iterations)
    if problem.method.batch_size is None:
        AllSamples(problem).run(state)
    else:
        with one_thread(problem.device):
            OnePass(problem).run(state, stop)
    problem.finish()
