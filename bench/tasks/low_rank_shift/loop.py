"""How near does private tuning come to the best denoiser, where that differs from the public one by a matrix of low rank? Exactly: both are known."""

from __future__ import annotations

from typing import Any

import torch

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.generation.begun import begun
from bench.tasks.generation.ledger import Ledger
from bench.tasks.generation.pair import Pair
from bench.tasks.generation.protocol import Problem
from bench.tasks.low_rank_shift.protocol import Method
from bench.tasks.low_rank_shift.shift import HalfSquares, LinearDenoiser, LowRankShift
from bench.types import PositiveInt

BATCHES_SEEDS = False


def run(session: Session, state: dict[str, Any] | None, *, reports: PositiveInt) -> None:
    """Train, log `excess` = ||W - W*||_F^2 about `reports` times, and finish with the last one and what was spent.

    Seconds: a run that is stopped starts again, with the batches and the noise that it had.
    """
    (seed,), parts = session.seeds, session.job.parts
    data: LowRankShift = build("dataset", parts["dataset"], session.job.settings.data_root, seed)
    method: Method = build("method", parts["method"])
    opened: list[Ledger] = []

    def open_ledger(**terms: Any) -> Ledger:
        opened.append(Ledger(n=len(data.x), seed=seed, **terms))
        return opened[-1]

    steps = begun(method, _problem(data, seed, open_ledger))
    if not opened or not opened[0].noise_multiplier:
        raise UserError("method.epsilon: null, which spends nothing; a number")
    (ledger,), (seed_run,) = opened, session.runs
    session.begin(steps)
    every = max(1, steps // reports)
    for step in range(steps):
        told = method.advance(step)
        session.gradient_evaluations[0] += int(told["gradient_evaluations"])
        if (step + 1) % every == 0 or step + 1 == steps:
            seed_run.log(step + 1, excess=_excess(data, method))
        session.progress.step(step + 1)
    seed_run.finish(
        excess=_excess(data, method),
        start_excess=(data.start - data.optimum).double().square().sum().item(),
        epsilon=ledger.epsilon(),
        noise_multiplier=ledger.noise_multiplier,
        steps=steps,
        trainable_parameters=method.trainable_parameters,
    )


def _excess(data: LowRankShift, method: Method) -> float:
    return (method.network().matrix(len(data.start)) - data.optimum).double().square().sum().item()  # type: ignore[operator]


def _problem(data: LowRankShift, seed: int, open_ledger: Any) -> Problem:
    """What the method sees. There are no images: the pair holds one of a pixel, which nobody reads."""
    one = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    pair = Pair(*one, *one, *one, 1, 1, False)
    return Problem(
        pair, data.x, data.target, LinearDenoiser(data.start), None, lambda x: x, HalfSquares(), open_ledger, seed,  # type: ignore[arg-type]
        torch.device("cpu"),
    )  # fmt: skip
