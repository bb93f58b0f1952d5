"""Blocks of steps in coefficients against the same steps on whole vectors, by automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.one_pass import advance
from bench.tasks.feature_learning.protocol import Batch
from bench.tasks.feature_learning.two_layer import TwoLayer
from datasets.teachers.single_index import single_index
from methods.two_layer.feature_sgd import FeatureSGD, SmoothedSGD
from methods.two_layer.reuse_sgd import LookaheadSGD, ReuseSGD

D, PATHS, COUNT = 12, 3, 96
CPU = torch.device("cpu")


def network(**more) -> TwoLayer:
    chosen = {"width": 5, "activation": "relu", "bias": "normal", "second_layer": "signs", "output": "mean"}
    return TwoLayer(**{**chosen, "start": "uniform", **more})


def loss_gradient(w: Tensor, x: Tensor, y: Tensor, neurons, squared: bool) -> Tensor:
    """N times the gradient of the mean loss over x [B, d] of one path, w [N, d]; relu."""
    w = w.detach().clone().requires_grad_()
    hidden = torch.relu(x @ w.T + (0 if neurons.b is None else neurons.b[..., 0]))
    f = neurons.scale * (hidden * neurons.a[..., 0]).sum(-1)
    loss = ((f - y) ** 2 / 2).mean() if squared else -(f * y).mean()
    (gradient,) = torch.autograd.grad(loss, w)
    return gradient / neurons.scale


def tangent(w: Tensor, g: Tensor) -> Tensor:
    return g - (g * w).sum(-1, keepdim=True) * w


def unit(w: Tensor) -> Tensor:
    return torch.nn.functional.normalize(w, dim=-1)


class Setting:
    """Paths of one dimension with samples that stay the same."""

    def __init__(self, **more) -> None:
        model = single_index(d=D)
        self.target, seeds = model.target, list(range(PATHS))
        self.theta = model.directions(seeds, 1, D)
        net = network(**more)
        self.w = net.weights(seeds, 1, D, self.theta)
        self.neurons = net.neurons(seeds, 1, D, self.target, CPU)
        self.x, self.y = model.labelled(seeds, 1, D, 1, COUNT, self.theta)
        self.dims = torch.full((PATHS, 1, 1), float(D), dtype=torch.float64)

    def after(self, method, count: int) -> Tensor:
        """W after the first `count` samples."""
        method.begin(self.neurons, self.target, self.dims)
        progress = torch.zeros(count, PATHS, 1, 1, dtype=torch.float64)
        return advance(method, self.w[None], self.theta, self.x[:, :count], self.y[:, :count], progress)[0][0]

    def by_blocks(self, method, block: int) -> tuple[Tensor, Tensor]:
        """(W at the end, M after each step), blocks of `block` samples; progress is that of the block's start."""
        method.begin(self.neurons, self.target, self.dims)
        w, overlaps, size = self.w[None], [], method.batch_size
        for k in range(0, self.x.shape[1], block):
            progress = torch.full((block // size, PATHS, 1, 1), k / COUNT, dtype=torch.float64)
            w, trace = advance(method, w, self.theta, self.x[:, k : k + block], self.y[:, k : k + block], progress)
            overlaps.append(trace.cosines())
        return w[0], torch.cat(overlaps)[:, 0]

    def by_vectors(self, move, size: int) -> Tensor:
        """W at the end of steps `move(w, x, y, neurons)` of each path alone."""
        rows = []
        for p in range(PATHS):
            one = type(self.neurons)(
                self.neurons.a[p], None if self.neurons.b is None else self.neurons.b[p], self.neurons.scale
            )
            w = self.w[p]
            for k in range(0, COUNT, size):
                w = move(w, self.x[p, k : k + size], self.y[p, k : k + size], one)
            rows.append(w)
        return torch.stack(rows)


SGD = {"lr_power": 1.0, "fresh": True, "steps": None}


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("loss", ["correlation", "squared"])
@pytest.mark.parametrize("geometry", ["sphere", "free"])
def test_online_sgd_is_gradient_descent_on_vectors(geometry, loss, size):
    setting = Setting()
    method = FeatureSGD(lr=0.7, geometry=geometry, loss=loss, batch_size=size, **SGD)

    def move(w, x, y, neurons):
        g = loss_gradient(w, x, y, neurons, loss == "squared")
        return unit(w - 0.7 / D * tangent(w, g)) if geometry == "sphere" else w - 0.7 / D * g

    w, overlaps = setting.by_blocks(method, 32)
    torch.testing.assert_close(w, setting.by_vectors(move, size), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(overlaps[-1], unit(w) @ setting.theta.mT)
    other, path = setting.by_blocks(method, 16)
    torch.testing.assert_close(other, w, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(path, overlaps, rtol=1e-10, atol=1e-12)


REUSE = {"lr_power": 1.0, "weak_until": 1.0, "strong_lr": 0.5}


def reused(eta: float, xi: float, renewed: bool, flat: bool = False, odd: bool = False):
    """Algorithm 1's pair of steps on vectors. odd: a mistake, rows are normalised after the first step too."""

    def move(w, x, y, neurons):
        g = loss_gradient(w, x, y, neurons, False)
        first = w - eta * (g if flat else tangent(w, g))
        first = unit(first) if odd else first
        g = loss_gradient(first, x, y, neurons, False)
        second = first - eta * (g if flat else tangent(first if renewed else w, g))
        third = second - xi * (second - w)
        return third if flat else unit(third)

    return move


@pytest.mark.parametrize("bias", ["normal", "none"])
@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("projection", ["frozen", "renewed"])
@pytest.mark.parametrize(("geometry", "interpolation"), [("sphere", 0.9), ("sphere", 0.0), ("free", 0.0)])
def test_batch_reuse_is_two_explicit_steps(geometry, interpolation, projection, size, bias):
    setting, renewed, flat = Setting(bias=bias), projection == "renewed", geometry == "free"
    more = {"geometry": geometry, "loss": "correlation", "batch_size": size, "projection": projection}
    method = ReuseSGD(lr=1.0, interpolation=interpolation, **more, **REUSE)
    w, _ = setting.by_blocks(method, 32)
    explicit = setting.by_vectors(reused(1.0 / D, interpolation, renewed, flat), size)
    torch.testing.assert_close(w, explicit, rtol=1e-10, atol=1e-12)
    if not flat:
        for other in (reused(1.0 / D, interpolation, not renewed), reused(1.0 / D, interpolation, renewed, odd=True)):
            assert float((w - setting.by_vectors(other, size)).abs().max()) > 1e-4


@pytest.mark.parametrize("activation", ["relu", "polynomial"])
@pytest.mark.parametrize(("eta", "xi"), [(1.0, 0.9), (0.3, 0.5), (0.1, 0.0)])
def test_one_map_is_the_two_steps_with_the_projection_frozen(eta, xi, activation):
    """Appendix B.3, from one sample to the next: exact but for rounding, and not so with the projection renewed."""
    setting = Setting(bias="none", activation=activation)
    common = {"geometry": "sphere", "loss": "correlation", "batch_size": 1}
    net = LookaheadSGD(lr=(1 - xi) * eta, inner_lr=eta, keep_first=True, **common, **SGD)
    frozen, renewed = (
        ReuseSGD(lr=eta, interpolation=xi, projection=name, **common, **REUSE) for name in ("frozen", "renewed")
    )
    w, path = setting.by_blocks(net, 32)
    two_steps, overlaps = setting.by_blocks(frozen, 32)
    torch.testing.assert_close(two_steps, w, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(overlaps, path, rtol=1e-9, atol=1e-11)
    assert float((setting.by_blocks(renewed, 32)[0] - w).abs().max()) > 1e-6


def test_strong_recovery_is_online_sgd():
    """From the block on that begins after `weak_until`: xi = 0, an eta of its own and no second step."""
    setting = Setting(bias="none")
    common = {"geometry": "sphere", "loss": "correlation", "batch_size": 1}
    weak = ReuseSGD(lr=1.0, interpolation=0.9, projection="frozen", **common, **REUSE)
    both = ReuseSGD(lr=1.0, interpolation=0.9, projection="frozen", **common, **{**REUSE, "weak_until": 0.5})
    w, path = setting.by_blocks(both, 32)
    _, only_weak = setting.by_blocks(weak, 32)
    torch.testing.assert_close(path[:64], only_weak[:64])
    assert not torch.allclose(path[64:], only_weak[64:])
    setting.w, setting.x, setting.y = setting.after(weak, 64), setting.x[:, 64:], setting.y[:, 64:]
    online, tail = setting.by_blocks(FeatureSGD(lr=0.5, **common, **SGD), 32)
    torch.testing.assert_close(online, w)
    torch.testing.assert_close(tail, path[64:])


@pytest.mark.parametrize(("geometry", "inner"), [("sphere", 1.0), ("free", 0.5), ("free", -0.5)])
def test_extragradient_takes_its_gradient_elsewhere(geometry, inner):
    """Off the sphere with the squared loss, as in the released code: the inner step of all neurons changes f."""
    setting = Setting(bias="none")
    loss = "correlation" if geometry == "sphere" else "squared"
    more = {"geometry": geometry, "loss": loss, "batch_size": 1, "keep_first": False}
    method = LookaheadSGD(lr=0.6, inner_lr=inner, **more, **SGD)

    def move(w, x, y, neurons):
        g = loss_gradient(w, x, y, neurons, loss == "squared")
        there = w - inner / D * (g if geometry == "free" else tangent(w, g))
        g = loss_gradient(there, x, y, neurons, loss == "squared")
        return w - 0.6 / D * g if geometry == "free" else unit(w - 0.6 / D * tangent(w, g))

    w, _ = setting.by_blocks(method, 32)
    torch.testing.assert_close(w, setting.by_vectors(move, 1), rtol=1e-10, atol=1e-12)


def test_an_inner_step_of_zero_is_online_sgd_of_twice_the_step():
    setting = Setting()
    common = {"geometry": "sphere", "loss": "correlation", "batch_size": 1, **SGD}
    twice, _ = setting.by_blocks(FeatureSGD(lr=0.2, **common), 32)
    reuse, _ = setting.by_blocks(LookaheadSGD(lr=0.1, inner_lr=0.0, keep_first=True, **common), 32)
    torch.testing.assert_close(reuse, twice, rtol=1e-12, atol=1e-14)


def test_all_samples_at_once_is_gradient_descent():
    setting = Setting(output="root")
    method = FeatureSGD(lr=0.5, lr_power=0.0, geometry="free", loss="squared", batch_size=None, fresh=False, steps=3)
    method.begin(setting.neurons, setting.target, setting.dims)
    w, r = setting.w[None], setting.x.square().sum(-1)[:, None]
    for _ in range(3):
        w = step(method, w, setting.x, setting.y[:, None], r, setting.dims * 0)

    def move(w, x, y, neurons):
        for _ in range(3):
            w = w - 0.5 * loss_gradient(w, x, y, neurons, True)
        return w

    torch.testing.assert_close(w[0], setting.by_vectors(move, COUNT), rtol=1e-10, atol=1e-12)


def test_smoothing_averages_over_a_sphere_around_w():
    """The coefficient of x against a Monte Carlo average of the loss's gradient, and lambda = 0 against plain SGD."""
    setting = Setting(activation="link", bias="none", second_layer="ones")
    plain = {"geometry": "sphere", "loss": "correlation", "batch_size": 1}
    smooth = SmoothedSGD(lr=0.1, lr_power=1.0, smoothing=0.0, smooth_until=1.0)
    same, _ = setting.by_blocks(FeatureSGD(lr=0.1, **plain, **SGD), 32)
    torch.testing.assert_close(setting.by_blocks(smooth, 32)[0], same, rtol=1e-10, atol=1e-12)

    smooth = SmoothedSGD(lr=1.0, lr_power=0.0, smoothing=1.0, smooth_until=1.0)
    smooth.begin(setting.neurons, setting.target, setting.dims)
    w, x, y = setting.w[0, 0].clone().requires_grad_(), setting.x[0, 0], setting.y[0, 0]
    g, lam = torch.Generator().manual_seed(0), D**0.25
    z = torch.randn(400_000, D, generator=g, dtype=torch.float64)
    z = unit(z - (z @ w.detach())[:, None] * w.detach())
    # rows orthogonal to w turn with it: move z along as w moves, (w + lam z) on the sphere of radius sqrt(1 + lam^2)
    turned = z - (z @ w)[:, None] * w.detach()
    value = setting.target.value(((w + lam * turned) @ x / (1 + lam**2) ** 0.5)[:, None]).mean()
    (gradient,) = torch.autograd.grad(-value * y, w)
    r = (x @ x).reshape(1, 1, 1)
    batch = Batch((w.detach() @ x).reshape(1, 1, 1, 1), y.reshape(1, 1, 1), r, lambda b: b * r, setting.dims[:1] * 0)
    smooth.begin(
        type(setting.neurons)(setting.neurons.a[:1, :1], None, 1.0, setting.neurons.link),
        setting.target,
        setting.dims[:1],
    )
    _, beta = smooth.move(batch)
    expected = float(beta) / float((1 + lam**2) ** 2)
    measured = -float(tangent(w.detach(), gradient) @ x) / float(x @ tangent(w.detach(), x))
    assert measured == pytest.approx(expected, rel=0.02)
