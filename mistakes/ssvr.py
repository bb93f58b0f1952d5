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
SSVR, FS, SPIDER, SVRG = ({"method": name} for name in ("ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg"))
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
    Mistake("no-snapshot-term", "form (A) without the snapshot's correction", FINITE, FS, no_snapshot_term),
    Mistake("fs-beta-one", "form (A) with beta = 1", FINITE, FS, lambda: OF_FS(beta=lambda b, T, m: 1.0)),
    Mistake(
        "fs-step", "form (A) with m^-1/2 in its step size", FINITE, FS, lambda: OF_FS(lr=lambda lr, T, m: lr * m**-0.25)
    ),
    Mistake("spider-no-restart", "form (B) that never restarts", FINITE, SPIDER, one_snapshot),
    Mistake("svrg-one-snapshot", "SignSVRG with its first snapshot for ever", CALLS, SVRG, one_snapshot),
]


# ---- weaker baselines and forgotten resets, which the tests of tests/mistakes notice


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


RATES, CALLS = "ssvr/rate_stochastic", "ssvr/equal_calls"
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
]
FORGOTTEN = [
    Mistake("one-snapshot-fs", "one snapshot for all passes", CALLS, {"method": "ssvr_fs"}, one_snapshot),
    Mistake("estimate-kept", "no full gradient at a restart", CALLS, {"method": "ssvr_fs_spider"}, estimate_kept),
    Mistake("noise-again", "the same noise in every chunk of steps", RATES, {"method": "ssvr"}, one_draw),
    Mistake("one-order", "the same order in every epoch", DIGITS, {}, one_order),
    Mistake("losses-kept", "losses of earlier epochs in the mean", DIGITS, {}, losses_kept),
]
