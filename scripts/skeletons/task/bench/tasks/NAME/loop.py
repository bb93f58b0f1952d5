"""FILL IN: the protocol in a sentence. Here: a number is estimated from a stream."""

from __future__ import annotations

from typing import Any

from bench.run.build import build
from bench.run.session import Session
from bench.tasks.NAME.protocol import Method, Stream
from bench.types import PositiveInt

BATCHES_SEEDS = False  # True: session.runs holds all seeds, which advance together


def run(session: Session, state: dict[str, Any] | None, *, samples: PositiveInt) -> None:
    """Log `error`, the squared distance from the mean, after each sample."""
    (own,), parts = session.runs, session.job.parts
    stream: Stream = build("dataset", parts["dataset"], session.job.settings.data_root, own.seed)
    method: Method = build("method", parts["method"])
    estimate, first = (state["estimate"], state["step"]) if state else (0.0, 0)  # what was saved
    session.begin(samples, first)
    for step in range(first + 1, samples + 1):
        estimate += method.weight(step) * (stream.sample(step) - estimate)
        own.log(step, error=(estimate - stream.mean) ** 2)
        session.progress.step(step)
        if session.due() and step < samples:
            session.save({"estimate": estimate, "step": step})
    own.finish(error=(estimate - stream.mean) ** 2)
