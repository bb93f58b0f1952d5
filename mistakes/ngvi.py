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
    """Five quadrature nodes, whatever the variance of q."""
    from torch import exp, float64, linspace

    from bench.tasks.curvature import plane

    def five(deviation: float, device: Any) -> Any:
        nodes = linspace(-3, 3, 5, dtype=float64, device=device)
        weights = exp(-nodes.square() / 2)
        return nodes, weights / weights.sum()

    with patch.object(plane, "trapezoidal", five):
        yield


@contextmanager
def no_chain_rule() -> Iterator[None]:
    """The gradient by m taken for that by E z: h moves by -g alone, without H m."""
    from methods.variational.ngvi import NGVI

    natural = NGVI._natural

    def direct(self: Any, gamma: Any, wide: Any, mean: Any, g: Any, hessian: Any) -> Any:
        return natural(self, gamma, wide, mean, g, hessian)[0], self.state["h"] - gamma * g

    with patch.object(NGVI, "_natural", direct):
        yield


@contextmanager
def no_entropy() -> Iterator[None]:
    """P grows by rate H and forgets nothing: the entropy's part of the gradient, -P, is left out."""
    from methods.variational.ngvi import NGVI

    natural = NGVI._natural

    def grown(self: Any, gamma: Any, wide: Any, mean: Any, g: Any, hessian: Any) -> Any:
        return natural(self, gamma, wide, mean, g, hessian + self.state["precision"])

    with patch.object(NGVI, "_natural", grown):
        yield


@contextmanager
def euclidean_mean() -> Iterator[None]:
    """The mean moves by the plain gradient over the number of data, without the covariance: SGD where NGVI is claimed."""
    from methods.variational.ngvi import NGVI, per_vector

    update = NGVI.update

    def plain(self: Any, t: int, g: Any, hessian: Any) -> Any:
        mean = self.state["mean"] - per_vector(self.rate(t)) * g / 2000
        lost = update(self, t, g, hessian)
        self.state["mean"], self.state["h"] = mean, (self.state["precision"] @ mean[..., None])[..., 0]
        return lost

    with patch.object(NGVI, "update", plain):
        yield


@contextmanager
def repeated_batch() -> Iterator[None]:
    """Each minibatch is used for two steps in a row."""
    from bench.tasks.inference.estimators import EnergyGradients

    call = EnergyGradients.__call__
    with patch.object(EnergyGradients, "__call__", lambda self, t, q: call(self, t - t % 2, q)):
        yield


@contextmanager
def lost_accumulation() -> Iterator[None]:
    """Of a minibatch that is taken in parts of 25 the last part alone counts."""
    from bench.tasks.inference.estimators import EnergyGradients

    start = EnergyGradients.__init__

    def part(self: Any, model: Any, seeds: Any, kind: str, batch_size: int, samples: int) -> None:
        start(self, model, seeds, kind, 25, samples)

    with patch.object(EnergyGradients, "__init__", part):
        yield


@contextmanager
def squared_scores() -> Iterator[None]:
    """Squared gradients of the data in place of their Hessians, in the method's steps."""
    from bench.tasks.inference.estimators import EnergyGradients
    from bench.tasks.inference.likelihoods import Poisson

    expected, call = Poisson.expected_derivatives, EnergyGradients.__call__

    def squared(self: Any, mean: Any, variance: Any, y: Any) -> Any:
        first, _ = expected(self, mean, variance, y)
        return first, first.square()

    def estimated(self: Any, t: int, q: Any) -> Any:
        with patch.object(Poisson, "expected_derivatives", squared):
            return call(self, t, q)

    with patch.object(EnergyGradients, "__call__", estimated):
        yield


@contextmanager
def negative_hessians() -> Iterator[None]:
    """The sign of a second derivative: that of log p in place of -log p."""
    from bench.tasks.inference.likelihoods import Bernoulli

    derivatives = Bernoulli.derivatives

    def negative(self: Any, a: Any, y: Any) -> Any:
        first, second = derivatives(self, a, y)
        return first, -second

    with patch.object(Bernoulli, "derivatives", negative):
        yield


@contextmanager
def mean_of_data() -> Iterator[None]:
    """The mean over the data in place of their sum: the likelihood without its factor N."""
    from bench.tasks.inference.likelihoods import Repeated

    with patch.object(Repeated, "nll", lambda self, a, y: self.likelihood.nll(a, y)):
        yield


@contextmanager
def variance_for_scale() -> Iterator[None]:
    """(m, sigma^2) for (m, sigma): not the coordinates in which -ELBO is convex."""
    from torch import stack

    from methods.variational.parameterisations import MeanScale

    planted = {
        "parameters": staticmethod(lambda m, v: stack([m, v], -1)),
        "moments": staticmethod(lambda p: (p[..., 0], p[..., 1])),
    }
    with patch.multiple(MeanScale, **planted):
        yield


@contextmanager
def wrong_sign() -> Iterator[None]:
    """v = E z^2 + m^2 for E z^2 - m^2."""
    from torch import stack

    from methods.variational.parameterisations import ExpectationParameters as Omega

    planted = {
        "parameters": staticmethod(lambda m, v: stack([m, v - m.square()], -1)),
        "moments": staticmethod(lambda p: (p[..., 0], p[..., 1] + p[..., 0].square())),
    }
    with patch.multiple(Omega, **planted):
        yield


@contextmanager
def whitened() -> Iterator[None]:
    """The features are brought to one scale before they are used, and with it what made the problem hard."""
    from datasets.bayes import drawn

    with patch.object(drawn, "_design", lambda normal, condition: normal):
        yield


RATE = ("ngvi/conjugate_rate", {"method": "ngvi", "dataset.condition": 1.0})
EXACT = ("ngvi/conjugate_exact", {"method": "ngvi"})
OMEGA = ("ngvi/curvature", {"method": "expectation", "dataset.likelihood": "bernoulli"})
SIGMA = ("ngvi/curvature", {"method": "mean_scale", "dataset.likelihood": "bernoulli"})
CONTROL = ("ngvi/curvature", {"method": "expectation", "dataset.likelihood": "normal"})
FLOOR = ("ngvi/conjugate_floor", {"method": "ngvi_constant"})
HESSIANS = ("ngvi/logistic_pd", {"method": "ngvi", "task.estimator": "monte_carlo"})
UNSAFE = ("ngvi/logistic_pd", {"method": "ngvi_safe", "task.estimator": "gradient"})
MISTAKES = [
    Mistake("scaled-prior", "n / b on the prior too", *RATE, scaled_prior),
    Mistake("unscaled-batch", "no n / b at all", *RATE, unscaled_batch),
    Mistake("old-covariance", "the mean is updated with S_t", *RATE, old_covariance),
    Mistake("root-schedule", "steps of 1 / sqrt(t)", *RATE, root_schedule),
    Mistake("repeated-batch", "each minibatch twice in a row", *RATE, repeated_batch),
    Mistake("root-average", "steps of 1 / sqrt(t)", RATE[0], {"method": "ngvi_average"}, root_schedule),
    Mistake("euclidean-mean", "the mean without its covariance", RATE[0], {"method": "ngvi"}, euclidean_mean),
    Mistake("half-hessian", "P moves towards H / 2", *EXACT, half_hessian),
    Mistake("no-chain-rule", "the gradient by m for that by E z", *EXACT, no_chain_rule),
    Mistake("no-entropy", "P without the entropy's part", *EXACT, no_entropy),
    Mistake("decaying-step", "a schedule on the constant step", *FLOOR, overrides=("method.decay=0.5",)),
    Mistake("lost-accumulation", "part of a minibatch", "ngvi/conjugate_batch", {"method": "ngvi"}, lost_accumulation),
    Mistake("squared-scores", "squares for Hessians", "ngvi/poisson_rate", {"method": "ngvi"}, squared_scores),
    Mistake("slow-schedule", "steps of 1 / sqrt(t)", "ngvi/poisson_rate", {"method": "ngvi"}, root_schedule),
    Mistake("slow-logistic", "as above", "ngvi/logistic_rate", {"method": "ngvi"}, root_schedule),
    Mistake("slow-embedded", "as above", "ngvi/embedded", {"method": "ngvi"}, root_schedule),
    Mistake("slow-uci", "as above", "ngvi/uci", {"method": "ngvi"}, root_schedule),
    Mistake("negative-hessians", "the sign of the Hessian", *HESSIANS, negative_hessians),
    Mistake("no-correction", "the safe variant without its second-order term", *UNSAFE, no_correction),
    Mistake("central-moment", "(m, v) for (E z, E z^2)", *OMEGA, central_moment),
    Mistake("central-moment-poisson", "as above", "ngvi/curvature_poisson", {"method": "expectation"}, central_moment),
    Mistake("mean-of-data", "the mean over the data for their sum", *OMEGA, mean_of_data),
    Mistake("few-nodes", "a quadrature of five nodes", *OMEGA, few_nodes),
    Mistake("variance-for-scale", "(m, sigma^2) for (m, sigma)", *SIGMA, variance_for_scale),
    Mistake("wrong-sign", "v = E z^2 + m^2", *CONTROL, wrong_sign),
    Mistake("sgd-in-disguise", "steps of 1 / sqrt(t)", "ngvi/conjugate_sgd", {"method": "ngvi"}, root_schedule),
    Mistake("whitened", "features of one scale", "ngvi/conjugate_sgd", {"method": "proximal_sgd"}, whitened),
]
