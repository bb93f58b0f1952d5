"""Classic mistakes in implementations of SSVR and of the methods that it is compared with, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def stored_gradient() -> Iterator[None]:
    """g(x_{t-1}; B_{t-1}) from memory stands in for g(x_{t-1}; B_t): one pass a step, and no variance is reduced."""
    from methods.sign.ssvr import SSVR

    estimate = SSVR._estimate

    def remembering(self: Any, closure: Any) -> Any:
        moves = estimate(self, closure)
        for group in self.param_groups:
            for p in self._active(group)[0]:
                self.state[p]["yesterday"] = p.grad.clone()
        return moves

    def from_memory(self: Any, points: Any, closure: Any, here: Any = None) -> Any:
        return {p: self.state[p]["yesterday"] for p in points}

    with patch.object(SSVR, "_estimate", remembering), patch.object(SSVR, "_gradient_at", from_memory):
        yield


@contextmanager
def same_point() -> Iterator[None]:
    """The second pass is at x_t again: the correction vanishes, and what is left is momentum."""
    from methods.sign.ssvr import SSVR

    right = SSVR._gradient_at

    def at_x(self: Any, points: Any, closure: Any, here: Any = None) -> Any:
        return right(self, {p: p.clone() for p in points}, closure, here)

    with patch.object(SSVR, "_gradient_at", at_x):
        yield


@contextmanager
def other_batch() -> Iterator[None]:
    """The second pass draws a minibatch of its own: the noise of the two gradients no longer cancels."""
    from bench.tasks.finite_sum.loop import Descent

    stochastic = Descent._stochastic

    def redrawing(self: Any, active: int, sample: Any) -> Any:
        again, self._drawn = getattr(self, "_drawn", None) == self.step, self.step
        return stochastic(self, active, sample.flip(-1) if again else sample)  # coordinates are independent draws

    with patch.object(Descent, "_stochastic", redrawing):
        yield


@contextmanager
def no_snapshot_term() -> Iterator[None]:
    """SSVR-FS without beta (g_i(x_s) - G_s): STORM on a finite sum, whose noise does not fade."""
    from methods.sign.ssvr import SSVRFS

    has = SSVRFS._has
    with patch.object(SSVRFS, "_has", lambda self, p, name: name != "snapshot" and has(self, p, name)):
        yield


@contextmanager
def one_snapshot() -> Iterator[None]:
    """The full gradient is computed at every pass, and the first one is used for ever."""
    from methods.sign.base import SnapshotOptimizer

    right = SnapshotOptimizer.snapshot

    def snapshot(self: Any, full_closure: Any, num_components: int) -> None:
        first = {p: (s["snapshot"], s["full"]) for p, s in self.state.items() if "snapshot" in s}
        right(self, full_closure, num_components)
        for p, (x, gradient) in first.items():
            self.state[p]["snapshot"], self.state[p]["full"] = x, gradient
        for group in self.param_groups:
            group["fresh"] = group["fresh"] and not first

    with patch.object(SnapshotOptimizer, "snapshot", snapshot):
        yield


@contextmanager
def plain_signs() -> Iterator[None]:
    """Workers send the sign of their estimate where a random sign should be."""
    from methods.vote.signs import StochasticSigns

    def signs(self: Any, v: Any, largest: Any, uniform: Any) -> Any:
        largest(v.abs().amax(-1, keepdim=True))  # a worker of a network asks for it before it votes
        return v.sign()

    with patch.object(StochasticSigns, "__call__", signs):
        yield


@contextmanager
def unsent_sizes() -> Iterator[None]:
    """The vote is over the workers' gradients, sizes and all, as one process has them at hand; over the wire only signs go."""
    from methods.vote.signs import Signs

    with patch.object(Signs, "__call__", lambda self, v, largest, uniform: v):
        yield


@contextmanager
def own_radius() -> Iterator[None]:
    """Each worker's random signs have its own largest entry as radius: a worker with small gradients has as many votes as one with large."""
    from methods.vote.signs import Radius

    with patch.object(Radius, "of", lambda self, v, largest: v.abs().amax(-1, keepdim=True)):
        yield


@contextmanager
def plain_answer() -> Iterator[None]:
    """The server of the second option answers with the majority."""
    from methods.vote.halves import StochasticMajority

    with patch.object(StochasticMajority, "vote", lambda self, messages, uniform: messages.sum(0).sign()):
        yield


@contextmanager
def ties_plus() -> Iterator[None]:
    """The server counts a tie as +1 while a worker's sign(0) is 0: every tie is a step to one side."""
    from methods.vote.halves import Majority
    from methods.vote.signs import sign

    with patch.object(Majority, "vote", lambda self, messages, uniform: sign(messages.sum(0), "plus", uniform)):
        yield


def _theory(module: str, name: str, **changes: Callable[[float, int, int], float]) -> AbstractContextManager[None]:
    """The theory of a method, some of its values through a function of the right value, T and m."""
    from importlib import import_module

    method = getattr(import_module(f"methods.sign.{module}"), name)
    right = method.theory

    def changed(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        values = right(horizon, dim, num_components)
        return values | {key: change(values[key], horizon, num_components) for key, change in changes.items()}

    return patch.object(method, "theory", staticmethod(changed))


OF_SSVR = partial(_theory, "ssvr", "SSVR")
OF_FS = partial(_theory, "ssvr", "SSVRFS")
OF_MOMENTUM = partial(_theory, "signsgd", "SignSGDSIM")

STOCHASTIC, FINITE, CALLS = "ssvr/rate_stochastic", "ssvr/rate_finite_sum", "ssvr/equal_calls"
SSVR, FS, SVRG = ({"method": name} for name in ("ssvr", "ssvr_fs", "signsvrg"))
FS_256, SPIDER_256 = ({"method": name, "dataset.num_components": 256} for name in ("ssvr_fs", "ssvr_fs_spider"))
VOTES, BIAS, IMAGES = "ssvr/vote_synthetic", "ssvr/vote_bias", "ssvr/cifar100_vote"
VOTE, VOTE_2 = ({"method": name} for name in ("ssvr_mv", "ssvr_mv_stochastic"))
MOMENTUM, SIGN = {"method": "signsgd_sim"}, {"method": "signsgd"}
MISTAKES = [
    Mistake("stored-gradient", "the stored gradient of the last step", STOCHASTIC, SSVR, stored_gradient),
    Mistake("same-point", "a second pass at the same point", STOCHASTIC, SSVR, same_point),
    Mistake("other-batch", "a second pass on another minibatch", STOCHASTIC, SSVR, other_batch),
    Mistake("no-variance-reduction", "beta = 1", STOCHASTIC, SSVR, lambda: OF_SSVR(beta=lambda b, T, m: 1.0)),
    Mistake(
        "beta-reversed", "beta weights the old gradient", STOCHASTIC, SSVR, lambda: OF_SSVR(beta=lambda b, T, m: 1 - b)
    ),
    Mistake(
        "prior-step",
        "signSGD's T^-1/2 as step size",
        STOCHASTIC,
        SSVR,
        lambda: OF_SSVR(lr=lambda lr, T, m: lr * T ** (1 / 6)),
    ),
    Mistake(
        "momentum-off",
        "momentum that forgets everything",
        STOCHASTIC,
        MOMENTUM,
        lambda: OF_MOMENTUM(beta=lambda b, T, m: 1.0),
    ),
    Mistake(
        "momentum-reversed",
        "beta weights the old gradient",
        STOCHASTIC,
        MOMENTUM,
        lambda: OF_MOMENTUM(beta=lambda b, T, m: 1 - b),
    ),
    Mistake("large-step", "signSGD with 30 times its step size", STOCHASTIC, SIGN, overrides=("method.lr=90.0",)),
    Mistake("no-snapshot-term", "form (A) without the snapshot's correction", FINITE, FS_256, no_snapshot_term),
    Mistake(
        "svrg-step",
        "form (A) with SignSVRG's m^-1/2 in its step size",
        FINITE,
        FS_256,
        lambda: OF_FS(lr=lambda lr, T, m: lr * m**-0.25),
    ),
    Mistake(
        "flat-step", "form (A) with a step size without m", FINITE, FS, lambda: OF_FS(lr=lambda lr, T, m: lr * m**0.25)
    ),
    Mistake("spider-no-restart", "form (B) that never restarts", FINITE, SPIDER_256, one_snapshot),
    Mistake(
        "tenth-step",
        "a tenth of the step size for larger batches",
        "ssvr/cifar10_batch",
        {"task.batch_size": 128},
        overrides=("method.lr=1e-3",),
    ),
    Mistake("svrg-one-snapshot", "SignSVRG with its first snapshot for ever", CALLS, SVRG, one_snapshot),
    Mistake("vote-plain-signs", "workers send plain signs", VOTES, VOTE, plain_signs),
    Mistake("vote-images-plain-signs", "workers with images send plain signs", IMAGES, VOTE, plain_signs),
    Mistake("vote-plain-signs-2", "option 2's workers send plain signs", VOTES, VOTE_2, plain_signs),
    Mistake("vote-ties-plus", "ties of a vote are +1", VOTES, VOTE, ties_plus),
    Mistake("vote-own-radius", "each worker has a radius of its own", BIAS, VOTE, own_radius),
    Mistake("vote-unsent-sizes", "a vote over sizes, not signs", BIAS, {"method": "signsgd_mv"}, unsent_sizes),
    Mistake("vote-plain-answer", "option 2's server answers with the majority", BIAS, VOTE_2, plain_answer),
]
