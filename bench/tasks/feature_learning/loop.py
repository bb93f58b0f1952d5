"""Learn the directions of a Gaussian index model with a two-layer network; how many samples does it take?

All dimensions d, settings of a grid, seeds and their replicates advance in one batch. A seed's numbers are means (hitting times: medians) over
its replicates, independent runs with their own directions, networks and samples.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from bench.errors import UserError
from bench.run.session import Session
from bench.tasks.feature_learning.cells import Measures
from bench.tasks.feature_learning.loop_all_samples import AllSamples
from bench.tasks.feature_learning.loop_one_pass import OnePass
from bench.tasks.feature_learning.loop_setup import Experiment
from bench.tasks.feature_learning.one_pass import one_thread
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
    ridge_samples: NonNegativeInt | list[PositiveInt],
    ridge_widths: list[PositiveInt] | None,
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
    `test_error` (that of the second phase: a ridge second layer on new biases and samples; with lists of `ridge_samples` T_2 or of
    `ridge_widths`, the first N of the neurons, a row for each N and T_2 before the one of the most of both), and `hitting_time`, the samples until the mean
    overlap stays above `threshold` for `sustain` d more; none where fewer than half of the replicates got there. With a grid a last row of
    each d has the best setting's numbers, of each seed and known only afterwards (`tuned_hitting_time`, `tuned_lr`, ...). Final metrics:
    those of the largest d by the first setting, `hitting_slope` and `tuned_hitting_slope` (of log hitting time against log d), the link's
    exponents, its `label_power` and that power's `label_power_exponent`, and `theory_slope`, what theory says of the method.
    """
    if len(set(samples)) < len(samples) or not samples:
        raise UserError(f"task.samples = {samples}: a list of distinct numbers")
    counts = [ridge_samples] * bool(ridge_samples) if isinstance(ridge_samples, int) else ridge_samples
    phases = counts, ridge_widths or [], ridge_penalties, ridge_bias
    experiment = Experiment(
        session, replicates, grid or {}, precision, Measures(aligned_at, threshold, sustain, *phases, test_samples)
    )
    if ridge_widths and max(ridge_widths) > experiment.network.width:
        raise UserError(f"task.ridge_widths = {ridge_widths}: up to model.width = {experiment.network.width}")
    steps = experiment.method.steps
    if iterations and (steps is None or max(iterations) > steps):
        raise UserError(
            f"task.iterations = {iterations}: only for a method of all samples at once, up to its {steps} steps"
        )
    experiment.draw(samples, samples_power, samples_log)
    if experiment.method.batch_size is None:
        AllSamples(experiment, iterations or []).run(state)
    else:
        with one_thread(experiment.device):
            OnePass(experiment, stop).run(state)
    _finish(experiment)


def _finish(experiment: Experiment) -> None:
    """Final metrics: those of the largest dimension at its largest n, by the first setting."""
    session, cells, target = experiment.session, experiment.cells, experiment.model.target
    exponents = target.information_exponent, target.generative_exponent
    known = dict(zip(("information_exponent", "generative_exponent"), exponents))  # type: dict[str, Any]
    if all(exponents):
        known["theory_slope"] = experiment.method.exponent(*exponents)  # type: ignore[arg-type]
    if target.label_power:
        known |= dict(zip(("label_power", "label_power_exponent"), target.label_power))
    known = {name: value for name, value in known.items() if value is not None}
    for s, seed_run in enumerate(session.runs):
        final = cells[-1].last[s] | _slopes([cell.d for cell in cells], [cell.last[s] for cell in cells]) | known
        finite = all(math.isfinite(cell.last[s]["overlap_mean"]) for cell in cells)
        session.gradient_evaluations[s] = final["gradient_evaluations"]
        seed_run.finish("finished" if finite else "diverged", **final)


def _slopes(dims: list[int], last: list[dict[str, float]]) -> dict[str, float]:
    """Least-squares slopes of a seed's log hitting times against log d, where every dimension has one."""
    found = {}
    for name in ("hitting", "tuned_hitting"):
        times = [row.get(f"{name}_time") for row in last]
        if len(times) > 1 and all(times):
            found[f"{name}_slope"] = float(np.polyfit(np.log(dims), np.log(times), 1)[0])  # type: ignore[arg-type]
    return found
