"""Weaker baselines and forgotten resets of the sign methods, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def momentum_reset() -> Iterator[None]:
    """SGD's velocity is thrown away every tenth step."""
    from methods.sign.baselines import SGD

    step = SGD._fused_step

    def forgetful(self: Any, bad: Any) -> None:
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken % 10 == 0:
            self.state.clear()
        step(self, bad)

    with patch.object(SGD, "_fused_step", forgetful):
        yield


@contextmanager
def _tenth_of_the_step(kind: str) -> Iterator[None]:
    """A tenth of the step size that is stated."""
    import methods.sign.baselines as module

    right = getattr(module, kind).__init__

    def small(self: Any, params: Any, *, lr: float, **more: Any) -> None:
        right(self, params, lr=lr / 10, **more)

    with patch.object(getattr(module, kind), "__init__", small):
        yield


@contextmanager
def _first_coordinate(module: str, kind: str) -> Iterator[None]:
    """The first coordinate of each tensor goes uphill."""
    from importlib import import_module

    from torch import Tensor

    owner = getattr(import_module(module), kind)
    estimate = owner._estimate

    def turned(self: Any, closure: Any) -> Any:
        moves = estimate(self, closure)
        for move in moves:
            move.directions = [_turned(v) for v in move.directions]
        return moves

    def _turned(v: Tensor) -> Tensor:
        other = v.clone()
        other.view(-1)[0] *= -1
        return other

    with patch.object(owner, "_estimate", turned):
        yield


@contextmanager
def weights_exchanged() -> Iterator[None]:
    """Momentum whose old and new gradients trade weights."""
    from methods.sign.signsgd import SignSGDSIM

    right = SignSGDSIM.__init__

    def exchanged(self: Any, params: Any, *, beta: float, **shared: Any) -> None:
        right(self, params, beta=1 - beta, **shared)

    with patch.object(SignSGDSIM, "__init__", exchanged):
        yield


@contextmanager
def error_dropped() -> Iterator[None]:
    """Error feedback that forgets the error."""
    from methods.sign.signsgd import EFSignSGD

    with patch.object(EFSignSGD, "_has", lambda self, p, name: False):
        yield


@contextmanager
def one_snapshot() -> Iterator[None]:
    """The snapshot is taken once and never again."""
    from methods.sign.base import SnapshotOptimizer

    snapshot = SnapshotOptimizer.snapshot

    def once(self: Any, full_closure: Any, num_components: int) -> None:
        if self.param_groups[0]["num_components"] is None:
            snapshot(self, full_closure, num_components)

    with patch.object(SnapshotOptimizer, "snapshot", once):
        yield


@contextmanager
def estimate_kept() -> Iterator[None]:
    """The recursive estimate goes on over a restart, where it should be the full gradient."""
    from methods.sign.ssvr import SSVRFS

    estimate = SSVRFS._estimate

    def kept(self: Any, closure: Any) -> Any:
        if self.state:
            for group in self.param_groups:
                group["fresh"] = group["fresh"] and all("estimate" not in s for s in self.state.values())
        return estimate(self, closure)

    with patch.object(SSVRFS, "_estimate", kept):
        yield


@contextmanager
def one_draw() -> Iterator[None]:
    """Every chunk of steps has the noise of the first."""
    from datasets.sums.finite_sums import SineQuadratic

    draw = SineQuadratic.draw
    with patch.object(SineQuadratic, "draw", lambda self, chunk, count: draw(self, min(chunk, 1), count)):
        yield


@contextmanager
def one_order() -> Iterator[None]:
    """Images come in the same order in every epoch."""
    from bench.tasks.classification.batches import Batches

    get = Batches.get
    with patch.object(Batches, "get", lambda self, epoch, index: get(self, 0, index)):
        yield


@contextmanager
def losses_kept() -> Iterator[None]:
    """An epoch's loss is the mean over all epochs so far."""
    from bench.tasks.classification.loop import Training

    step = Training._step

    def keeping(self: Any, epoch: int, index: int) -> None:
        before = list(self.at.losses)
        step(self, epoch, index)
        if index == 0:
            self.at.losses = [*before, *self.at.losses]

    with patch.object(Training, "_step", keeping):
        yield


@contextmanager
def first_vote_lost() -> Iterator[None]:
    """The first coordinate's majority is counted the wrong way round."""
    from methods.vote.halves import Majority

    vote = Majority.vote

    def turned(self: Any, messages: Any, uniform: Any) -> Any:
        found = vote(self, messages, uniform)
        found[..., 0] *= -1
        return found

    with patch.object(Majority, "vote", turned):
        yield


@contextmanager
def worker_weights_exchanged() -> Iterator[None]:
    """A worker's momentum whose old and new gradients trade weights."""
    from methods.vote.halves import Momentum

    right = Momentum.__init__
    with patch.object(Momentum, "__init__", lambda self, beta: right(self, 1 - beta)):
        yield


@contextmanager
def momentum_forgotten() -> Iterator[None]:
    """A worker starts its momentum anew at every step."""
    from methods.vote.halves import Momentum

    with patch.object(Momentum, "__call__", lambda self, state, gradient, previous: gradient):
        yield


@contextmanager
def mean_of_mean() -> Iterator[None]:
    """The sum of the signs is divided by the number of workers twice."""
    from methods.vote.halves import Mean

    with patch.object(Mean, "vote", lambda self, messages, uniform: messages.mean(0) / len(messages)):
        yield


@contextmanager
def twice_the_radius() -> Iterator[None]:
    """Random signs of twice the radius, nearer to fair coins."""
    from methods.vote.signs import Radius

    of = Radius.of
    with patch.object(Radius, "of", lambda self, v, largest: 2 * of(self, v, largest)):
        yield


@contextmanager
def late_votes() -> Iterator[None]:
    """Every second worker votes with its estimate of the step before."""
    from methods.vote.halves import Worker

    message = Worker.message

    def late(self: Any, *arguments: Any) -> Any:
        now = message(self, *arguments)
        before, self.sent = getattr(self, "sent", now), now.clone()
        now[1::2] = before[1::2]
        return now

    with patch.object(Worker, "message", late):
        yield


@contextmanager
def unsent_answer() -> Iterator[None]:
    """Workers step along the mean vote that the server's random sign is drawn from, which was never sent."""
    from methods.vote.halves import StochasticMajority

    with patch.object(StochasticMajority, "vote", lambda self, messages, uniform: messages.mean(0)):
        yield


RATES, CALLS = "ssvr/rate_stochastic", "ssvr/equal_calls"
VOTES = "ssvr/vote_synthetic"
TUNED, DIGITS = "ssvr/cifar10_tune_baselines", "ssvr/digits"
WEAKENED = [
    Mistake("momentum-reset", "SGD loses its velocity", TUNED, {"method": "sgd"}, momentum_reset),
    Mistake("small-sgd", "a tenth of the step", TUNED, {"method": "sgd"}, lambda: _tenth_of_the_step("SGD")),
    Mistake(
        "small-adamw",
        "a tenth of the step",
        "ssvr/cifar10_tune",
        {"method": "adamw"},
        lambda: _tenth_of_the_step("AdamW"),
    ),
    Mistake(
        "uphill-signsgd",
        "one coordinate uphill",
        RATES,
        {"method": "signsgd"},
        lambda: _first_coordinate("methods.sign.signsgd", "SignSGD"),
    ),
    Mistake(
        "uphill-sim",
        "one coordinate uphill",
        RATES,
        {"method": "signsgd_sim"},
        lambda: _first_coordinate("methods.sign.signsgd", "SignSGDSIM"),
    ),
    Mistake("weights-exchanged", "momentum's weights exchanged", RATES, {"method": "signsgd_sim"}, weights_exchanged),
    Mistake("error-dropped", "error feedback without the error", TUNED, {"method": "ef_signsgd"}, error_dropped),
    Mistake("one-snapshot", "one snapshot for all passes", CALLS, {"method": "signsvrg"}, one_snapshot),
    Mistake("first-vote-lost", "one coordinate uphill", VOTES, {"method": "signsgd_mv"}, first_vote_lost),
    Mistake("worker-weights", "momentum's weights exchanged", VOTES, {"method": "signum_mv"}, worker_weights_exchanged),
    Mistake("mean-of-mean", "a step divided by the workers twice", VOTES, {"method": "ssdm"}, mean_of_mean),
    Mistake("twice-the-radius", "votes nearer to coins", VOTES, {"method": "sto_signsgd"}, twice_the_radius),
    Mistake("no-momentum", "no memory", VOTES, {"method": "mv_sto_signsgd_sim"}, momentum_forgotten),
]
FORGOTTEN = [
    Mistake("one-snapshot-fs", "one snapshot for all passes", CALLS, {"method": "ssvr_fs"}, one_snapshot),
    Mistake("estimate-kept", "no full gradient at a restart", CALLS, {"method": "ssvr_fs_spider"}, estimate_kept),
    Mistake("noise-again", "the same noise in every chunk of steps", RATES, {"method": "ssvr"}, one_draw),
    Mistake("one-order", "the same order in every epoch", DIGITS, {}, one_order),
    Mistake("late-votes", "votes over estimates of different steps", VOTES, {"method": "ssvr_mv"}, late_votes),
    Mistake("unsent-answer", "a direction that was not sent", VOTES, {"method": "ssvr_mv_stochastic"}, unsent_answer),
    Mistake("losses-kept", "losses of earlier epochs in the mean", DIGITS, {}, losses_kept),
]
