"""Classic mistakes in implementations of natural gradient variational inference, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def scaled_prior() -> Iterator[None]:
    """n / b multiplies the prior's part too: another posterior, and a floor."""
    from bench.tasks.inference.estimators import EnergyGradients

    sums = EnergyGradients._sums

    def scaled(self: Any) -> Any:
        hessian, right = sums(self)
        prior = self.model.prior_precision
        return hessian + (self.weight - 1) * prior, right + (self.weight - 1) * (prior @ self.model.prior_mean)

    with patch.object(EnergyGradients, "_sums", scaled):
        yield


@contextmanager
def unscaled_batch() -> Iterator[None]:
    """The minibatch stands for itself, without n / b: the posterior of 50 data."""
    from bench.tasks.inference.estimators import EnergyGradients

    start = EnergyGradients.__init__

    def unscaled(self: Any, *arguments: Any) -> None:
        start(self, *arguments)
        self.weight = 1.0

    with patch.object(EnergyGradients, "__init__", unscaled):
        yield


@contextmanager
def old_covariance() -> Iterator[None]:
    """The mean moves by S_t g instead of S_{t+1} g."""
    from methods.variational.ngvi import NGVI, per_vector

    update = NGVI.update

    def early(self: Any, t: int, g: Any, hessian: Any) -> Any:
        import torch

        step = torch.cholesky_solve(g[..., None], self.state["factor"])[..., 0]
        mean = self.state["mean"] - per_vector(self.rate(t)) * step
        lost = update(self, t, g, hessian)
        self.state["mean"], self.state["h"] = mean, (self.state["precision"] @ mean[..., None])[..., 0]
        return lost

    with patch.object(NGVI, "update", early):
        yield


@contextmanager
def root_schedule() -> Iterator[None]:
    """gamma_t = 1 / sqrt(t + 1), the step of convex problems without curvature."""
    from methods.variational.ngvi import NGVI

    with patch.object(NGVI, "rate", lambda self, t: self.lr / (1 + t) ** 0.5):
        yield


@contextmanager
def half_hessian() -> Iterator[None]:
    """P moves towards H / 2, the gradient by the covariance, as if it were that by the natural parameter P."""
    from methods.variational.ngvi import NGVI

    natural = NGVI._natural

    def half(self: Any, gamma: Any, wide: Any, mean: Any, g: Any, hessian: Any) -> Any:
        return natural(self, gamma, wide, mean, g, hessian / 2)

    with patch.object(NGVI, "_natural", half):
        yield


@contextmanager
def no_correction() -> Iterator[None]:
    """The safe variant without its second-order term: the plain update."""
    from methods.variational.ngvi import NGVI, SafeNGVI

    with patch.object(SafeNGVI, "_natural", NGVI._natural):
        yield


@contextmanager
def central_moment() -> Iterator[None]:
    """(m, v) taken for the expectation parameters: v is E z^2 - m^2, and -ELBO is another function of it."""
    from torch import stack

    from methods.variational.parameterisations import ExpectationParameters as Omega

    planted = {
        "parameters": staticmethod(lambda m, v: stack([m, v], -1)),
        "moments": staticmethod(lambda p: (p[..., 0], p[..., 1])),
    }
    with patch.multiple(Omega, **planted):
        yield


@contextmanager
def few_nodes() -> Iterator[None]:
    """Five quadrature nodes over wide q."""
    from bench.tasks.curvature import plane

    with patch.multiple(plane, STEP=1.5, REACH=3.0):
        yield


RATE = ("ngvi/conjugate_rate", {"method": "ngvi", "dataset.condition": 1.0})
OMEGA = ("ngvi/curvature", {"method": "expectation", "dataset.likelihood": "bernoulli"})
MISTAKES = [
    Mistake("scaled-prior", "n / b on the prior too", *RATE, scaled_prior),
    Mistake("unscaled-batch", "no n / b at all", *RATE, unscaled_batch),
    Mistake("old-covariance", "the mean is updated with S_t", *RATE, old_covariance),
    Mistake("root-schedule", "steps of 1 / sqrt(t)", *RATE, root_schedule),
    Mistake("half-hessian", "P moves towards H / 2", "ngvi/conjugate_exact", {"method": "ngvi"}, half_hessian),
    Mistake(
        "no-correction",
        "the safe variant without its second-order term",
        "ngvi/logistic_pd",
        {"method": "ngvi_safe", "task.estimator": "gradient"},
        no_correction,
    ),
    Mistake("central-moment", "(m, v) for (E z, E z^2)", *OMEGA, central_moment),
    Mistake("few-nodes", "a quadrature of five nodes", *OMEGA, few_nodes),
]


# ---- weaker baselines and forgotten resets, which the tests of tests/mistakes notice


@contextmanager
def moments_reset() -> Iterator[None]:
    """Adam's second moments are thrown away every tenth step."""
    from methods.variational.gaussian_vi import AdamVI

    update = AdamVI.update

    def forgetful(self: Any, t: int, g: Any, hessian: Any) -> None:
        if t % 10 == 9:
            self.state["second_mean"].zero_()
        update(self, t, g, hessian)

    with patch.object(AdamVI, "update", forgetful):
        yield


@contextmanager
def _rate(kind: str, change: Any) -> Iterator[None]:
    """Another step size: change(the right one's function, method, t)."""
    from methods.variational import gaussian_vi

    owner = getattr(gaussian_vi, kind)
    right = owner.rate
    with patch.object(owner, "rate", lambda self, t: change(right, self, t)):
        yield


@contextmanager
def loose_prox() -> Iterator[None]:
    """The proximal operator of twice the entropy."""
    from methods.variational import gaussian_vi

    right = gaussian_vi.entropy_prox_
    with patch.object(gaussian_vi, "entropy_prox_", lambda diagonal, rate: right(diagonal, 2 * rate)):
        yield


@contextmanager
def one_minibatch() -> Iterator[None]:
    """Every chunk of steps has the minibatches of the first."""
    from bench.tasks.inference.estimators import EnergyGradients

    draw = EnergyGradients._draw

    def again(self: Any, chunk: int) -> None:
        draw(self, 0)
        self._chunk = chunk

    with patch.object(EnergyGradients, "_draw", again):
        yield


COMPARED = "ngvi/conjugate_sgd"
WEAKENED = [
    Mistake("moments-reset", "Adam's moments are forgotten", COMPARED, {"method": "adam_vi"}, moments_reset),
    Mistake(
        "small-projected",
        "a tenth of the step",
        COMPARED,
        {"method": "projected_sgd"},
        lambda: _rate("ProjectedSGD", lambda right, method, t: right(method, t) / 10),
    ),
    Mistake(
        "undecayed",
        "steps that do not fall",
        COMPARED,
        {"method": "proximal_sgd"},
        lambda: _rate("ProximalSGD", lambda right, method, t: right(method, 0)),
    ),
    Mistake("loose-prox", "the entropy twice", COMPARED, {"method": "proximal_sgd"}, loose_prox),
]
FORGOTTEN = [Mistake("minibatches-again", "the same minibatches in every chunk", RATE[0], RATE[1], one_minibatch)]
