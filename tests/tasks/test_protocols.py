"""Tasks ask of a method what their protocol says, and no class of ours: the suite's methods have it, and foreign ones pass."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
import torch
import yaml
from conftest import ROOT
from hydra.utils import get_object

from bench.tasks.doubly_stochastic.variance import Variance
from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.one_pass import advance
from bench.tasks.portfolio.books import evaluate
from datasets.sums.noisy_quadratics import GammaQuadratics

NAMES = {"portfolio": "Strategy", "curvature": "Parameterisation"}  # elsewhere Method
METHODS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "conf/method").glob("*.yaml"))}
PAIRS = [(name, task) for name, node in METHODS.items() for task in node["tasks"]]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_methods_have_what_the_protocols_of_their_tasks_name(name, task):
    protocol = getattr(import_module(f"bench.tasks.{task}.protocol"), NAMES.get(task, "Method"))
    kind = get_object(METHODS[name]["_target_"])
    asked = {k: v for k, v in vars(protocol).items() if inspect.isfunction(v) and not k.startswith("_")}
    assert asked or any(isinstance(v, property) for v in vars(protocol).values())
    for member, wanted in asked.items():
        arguments = list(inspect.signature(wanted).parameters)  # `self` first
        if isinstance(inspect.getattr_static(kind, member), staticmethod):
            arguments = arguments[1:]
        inspect.signature(getattr(kind, member)).bind(*arguments)  # TypeError: it takes others


class Momentum:
    """A strategy that is nobody's subclass: all capital on the asset that rose most."""

    reads_accounts = False

    def begin(self, relatives, costs):
        self.relatives = relatives
        return relatives.new_full((1, 1, relatives.shape[1]), 1 / relatives.shape[1])

    def update(self, t, weights, held, net):
        best = torch.nn.functional.one_hot(self.relatives[t].argmax(), weights.shape[-1])
        return best.to(weights)[None, None]


def test_a_foreign_strategy_is_evaluated():
    x = torch.tensor([[1.1, 0.9], [1.2, 1.0], [0.5, 1.0]], dtype=torch.float64)
    paths, _ = evaluate(Momentum(), x, torch.zeros(1, dtype=torch.float64))
    assert float(paths.log_wealth().exp()) == pytest.approx(1.0 * 1.2 * 0.5)


class Perceptron:
    """A first-layer method that is nobody's subclass: rows move by lr y sign(h) x, on the sphere."""

    sphere, batch_size, fresh, steps, evaluations = True, 1, True, None, 1

    def begin(self, neurons, target, dims):
        pass

    def move(self, batch):
        return None, 0.1 * batch.y * batch.h.sign() / batch.h.shape[-1]

    def exponent(self, information, generative):
        return None


def test_a_foreign_first_layer_method_moves_rows():
    """A block of single samples is the same as one full step after another."""
    draw = torch.Generator().manual_seed(0)
    w = torch.nn.functional.normalize(torch.randn(1, 1, 3, 6, generator=draw, dtype=torch.float64), dim=-1)
    x, y = (torch.randn(*size, generator=draw, dtype=torch.float64) for size in ((1, 4, 6), (1, 4)))
    theta, progress = torch.eye(1, 6, dtype=torch.float64)[None], torch.zeros(4, 1, 1, 1, dtype=torch.float64)
    block, trace = advance(Perceptron(), w, theta, x, y, progress)
    for t in range(4):
        one = x[:, t : t + 1]
        w = step(Perceptron(), w, one, y[:, None, t : t + 1], one.square().sum(-1)[:, None], progress[t])
    torch.testing.assert_close(block, w)
    torch.testing.assert_close(trace.overlaps[-1], w @ theta.mT)


class Antithetic:
    """An estimator that is nobody's subclass: b components with replacement, m = 2 draws eta and -eta that they share."""

    b, m, exact, rho, replacement, steps_per_epoch, evaluations, lr = 2, 2, False, 1.0, True, 8, 4, 0.1

    def with_split(self, batch_size, mc_samples):
        return self

    def minibatches(self, seeds, first, count, paths):
        return torch.randint(16, (count, len(seeds) * paths, 2), generator=torch.Generator().manual_seed(first))

    def noise(self, seeds, first, count, paths, dim):
        stream = torch.Generator().manual_seed(first + 1)
        eta = torch.randn(count, len(seeds) * paths, 1, 1, dim, generator=stream, dtype=torch.float64)
        return torch.cat([eta, -eta], 3)


def test_the_variance_of_a_foreign_estimator_is_measured():
    """Antithetic draws cancel in a quadratic: what is left is subsampling."""
    problem = GammaQuadratics(num_components=16, dim=3)
    variance = Variance([0], problem, Antithetic(), problem.optimum, draws=20_000, pilot=None)
    (([], final),) = variance.found(None)
    assert final["variance_mc"] == pytest.approx(final["subsampling_variance"], rel=0.05)
    assert final["variance"] > 1.05 * final["subsampling_variance"], "independent draws would leave more"
