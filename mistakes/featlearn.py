"""Classic mistakes in experiments on feature learning by two-layer networks, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def signed_directions() -> Iterator[None]:
    """A neuron at -w_i* counts as far, although relu(w.x) and relu(-w.x) differ by a linear function."""
    from bench.tasks.teacher_recovery import recovery

    with patch.object(recovery, "cosines", lambda u, teachers: u @ teachers.units.mT):
        yield


@contextmanager
def early_decay() -> Iterator[None]:
    """lam falls ten times as fast, before the neurons between the teachers have vanished."""
    from methods.two_layer.regularised_gd import RegularisedGD

    decay = RegularisedGD.decay
    with patch.object(RegularisedGD, "decay", lambda self, t: decay(self, 10 * t)):
        yield


@contextmanager
def radial_step() -> Iterator[None]:
    """The first stage's gradient without its part across the row: only the row's length would change."""
    from bench.tasks.teacher_recovery.oracle import Oracle

    gradient = Oracle.teacher_gradient

    def along(self: Any, w: Any) -> Any:
        return (gradient(self, w) * w).sum(-1, keepdim=True) * w

    with patch.object(Oracle, "teacher_gradient", along):
        yield


def _penalised(by_a: float, by_w: float, power: int = 1) -> Any:
    """A step whose penalty is scaled for either layer, and enters with lr^power."""
    from methods.two_layer import regularised_gd as module

    def update(self: Any, oracle: Any, t: int, a: Any, w: Any) -> Any:
        decay, lr = self.decay(t) * self.lr**power, self.lr
        grad_a, grad_w = self._gradients(oracle, t, a, w)
        next_a = a * module._per_neuron(1 - by_a * decay) - module._per_neuron(lr) * grad_a
        return next_a, w * module._per_row(1 - by_w * decay) - module._per_row(lr) * grad_w

    return patch.object(module.RegularisedGD, "update", update)


@contextmanager
def first_layer_only() -> Iterator[None]:
    """Weight decay on W alone: the second layer grows until the penalty is worth nothing."""
    with _penalised(0.0, 1.0):
        yield


@contextmanager
def whole_penalty() -> Iterator[None]:
    """lam (||a||^2 + ||W||^2) without the half: another lam than the one that is stated."""
    with _penalised(2.0, 2.0):
        yield


@contextmanager
def decoupled() -> Iterator[None]:
    """Weights shrink by lam instead of lr lam, so that the minimiser depends on the step size."""
    with _penalised(1.0, 1.0, 0):
        yield


@contextmanager
def double_slope() -> Iterator[None]:
    """k'(t) = arcsin(t) / pi: the gradient of another loss than the one that is measured."""
    from bench.tasks.teacher_recovery import relu_population as module

    correlation = module.correlation

    def doubled(u: Any, z: Any, mass: Any) -> Any:
        s, slope = correlation(u, z, mass)
        g = module.kernel_slope(u @ z.mT) @ (z * mass[..., None])
        return s + (u * g).sum(-1), slope + g

    with patch.object(module, "correlation", doubled):
        yield


@contextmanager
def no_decay() -> Iterator[None]:
    """The penalty is in the loss that is reported and not in the step."""
    with _penalised(0.0, 0.0):
        yield


@contextmanager
def slow_baseline() -> Iterator[None]:
    """The baseline has a tenth of the method's step size."""
    from methods.two_layer.regularised_gd import RegularisedGD

    update = RegularisedGD.update

    def slow(self: Any, oracle: Any, t: int, a: Any, w: Any) -> Any:
        next_a, next_w = update(self, oracle, t, a, w)
        return a + (next_a - a) / 10, w + (next_w - w) / 10

    with patch.object(RegularisedGD, "update", slow):
        yield


@contextmanager
def uncentred() -> Iterator[None]:
    """The student keeps its mean and linear part, which were taken out of the target."""
    from methods.two_layer import regularised_sgd as module

    with patch.object(module, "centred", lambda h, w: h.relu()):
        yield


@contextmanager
def one_decay(take: str = "amax") -> Iterator[None]:
    """Every setting of the grid gets the same weight decay: the largest, or the smallest by `amin`."""
    from methods.two_layer.regularised_gd import RegularisedGD

    decay = RegularisedGD.decay
    with patch.object(RegularisedGD, "decay", lambda self, t: getattr(decay(self, t), take)()):
        yield


DECAY = ("featlearn/recovery", {"method": "regularised_gd"})
FIXED = ("featlearn/recovery", {"method": "regularised_gd_fixed"})
NONE = ("featlearn/recovery", {"method": "unregularised_gd"})
BIAS = ("featlearn/loss_vs_lam", {"dataset.signs": "positive"})
FEATURES = ("featlearn/features", {"method": "one_step_features"})
WIDE = ("featlearn/width", {"task.width": 20})
DIMENSION = ("featlearn/dimension", {"dataset.dim": 30})
TIME = ("featlearn/regularised_time", {"method.lr": 0.5, "task.steps": 2000})
FIVE = ("featlearn/five_teachers", {"method": "regularised_gd"})
POSITIVE = ("featlearn/positive", {"method": "regularised_gd"})
LONG = (TIME[0], {"method.lr": 0.5, "task.steps": 10000})
SAMPLED = ("featlearn/sampled", {"dataset.signs": "alternating"})
MISTAKES = [
    Mistake("signed-directions", "w and -w are two directions", *DECAY, signed_directions),
    Mistake("early-decay", "lam falls ten times as fast", *DECAY, early_decay),
    Mistake("decoupled", "weights shrink by lam instead of lr lam", *FIXED, decoupled),
    Mistake("slow-baseline", "the baseline has a tenth of the step size", *NONE, slow_baseline),
    Mistake("double-slope", "k' is twice what it should be", *BIAS, double_slope),
    Mistake("first-layer-only", "weight decay on W alone", *BIAS, first_layer_only),
    Mistake("whole-penalty", "a penalty of lam instead of lam / 2", *BIAS, whole_penalty),
    Mistake("early-decay-width", "lam falls ten times as fast, in a network of 20", *WIDE, early_decay),
    Mistake("no-decay", "the step lacks the penalty", *DIMENSION, no_decay),
    Mistake("early-decay-five", "lam falls ten times as fast, for five teachers", *FIVE, early_decay),
    Mistake("early-decay-positive", "lam falls ten times as fast, for positive teachers", *POSITIVE, early_decay),
    Mistake("early-decay-time", "lam falls ten times as fast, in the longer time", *LONG, early_decay),
    Mistake("decoupled-time", "weights shrink by lam at either step size", *TIME, decoupled),
    Mistake("uncentred", "the student keeps its mean and linear part", *SAMPLED, uncentred),
    Mistake("one-decay", "all settings get the largest weight decay", *SAMPLED, one_decay),
    Mistake("no-decay-sampled", "all settings get the smallest weight decay, 0", *SAMPLED, lambda: one_decay("amin")),
    Mistake("radial-step", "the first step without its tangential part", *FEATURES, radial_step),
]
