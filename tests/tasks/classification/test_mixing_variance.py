"""The variance of mixup's gradient: closed forms, gradients one at a time, the numbers of two moons, and two planted mistakes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import Tensor, nn

from bench.models.small import small_cnn
from bench.tasks.classification.mixing_variance import (
    Components,
    Mixture,
    components,
    measured,
    network_gradients,
    stratified,
)

KS = (1, 2, 5, 10, 20)
PUBLISHED = {1: 1.0, 2: 0.857, 5: 0.764, 10: 0.734, 20: 0.720}  # of an independent program, alpha = 1


def moons(alpha: float, kind: type[Mixture] = Mixture) -> Mixture:
    """400 points, noise 0.15, a ReLU network 2-64-2 with He's initialisation."""
    x, y = make_moons(400, noise=0.15, random_state=0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2)).eval()
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
        nn.init.zeros_(layer.bias)
    return kind(torch.tensor(x).float(), torch.tensor(y), 2, alpha, network_gradients(model), 322)


def ratios(found: dict[int, float]) -> dict[int, float]:
    return {k: value / found[1] for k, value in found.items()}


def as_published(found: dict[int, float]) -> bool:
    return all(abs(value - PUBLISHED[k]) < 0.02 for k, value in ratios(found).items())


class NewPartners(Mixture):
    """Planted: another permutation for each of the K."""

    def mixed(self, pairs: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(pairs.shape[-1])
        other = torch.randint(len(self.y), pairs.shape[1:], generator=g)
        return super().mixed(torch.stack([pairs[0], other]), lam)


class OneLambda(Mixture):
    """Planted: the K copies share one lambda."""

    def lambdas(self, *shape: int, stream: int) -> Tensor:
        return super().lambdas(*shape, stream=stream)[..., :1].expand(shape)


def test_two_moons_as_another_program_found_them():
    found = measured(moons(1.0), KS, 8192)
    assert as_published(found)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    law = components(moons(1.0), 4096)
    for k, value in found.items():
        assert value == pytest.approx(law.predicted(k), rel=0.03)


@pytest.mark.parametrize("planted", [NewPartners, OneLambda])
def test_planted_mistakes_are_seen(planted):
    assert not as_published(measured(moons(1.0, planted), KS, 2048))


def test_less_mixing_gains_more():
    """alpha = 0.2, 1, 2: ratios 0.633, 0.764, 0.851 of an independent program at K = 5."""
    for alpha, ratio in ((0.2, 0.633), (1.0, 0.764), (2.0, 0.851)):
        assert ratios(measured(moons(alpha), (1, 5), 4096))[5] == pytest.approx(ratio, abs=0.02)


def test_strata_of_lambda_gain_more():
    """0.69 at K = 5 by an independent program, where free lambdas have 0.74: nearly all that any K can."""
    mixture = moons(1.0)
    free, law = measured(mixture, (1, 5), 4096), components(mixture, 4096)
    ratio = stratified(mixture, 5, 4096) / free[1]
    assert ratio < free[5] / free[1] - 0.03
    assert ratio == pytest.approx(law.pairs / law.predicted(1), abs=0.02)
    assert stratified(mixture, 1, 4096) == pytest.approx(free[1], rel=0.03)


def test_a_batch_of_32_as_another_program_found_it():
    """Predictions 0.345, 0.260 with lambdas of each pair, 0.470, 0.285 with the batch's: ratios at another random network within 15 %."""
    law = components(moons(1.0), 2048)
    assert law.predicted(5, 32) / law.predicted(1, 32) == pytest.approx(0.260 / 0.345, rel=0.15)
    assert law.predicted(5, 32, True) / law.predicted(1, 32, True) == pytest.approx(0.285 / 0.470, rel=0.15)
    for shared in (False, True):
        found = measured(moons(1.0), (1, 5), 600, batch=32, shared=shared)
        for k, value in found.items():
            assert value == pytest.approx(law.predicted(k, 32, shared), rel=0.15)
    equal = {shared: measured(moons(1.0), (1,), 400, batch=160, shared=shared)[1] for shared in (False, True)}
    assert equal[False] < equal[True] < found[5], "as many forward passes, more pairs"


# ---- closed forms


def made(gradients: Callable[[Tensor, Tensor], Tensor], alpha: float = 1.0, parameters: int = 3) -> Mixture:
    """500 normal vectors of three numbers, 200 of class 0 and 300 of class 1."""
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    return Mixture(x, (torch.arange(500) >= 200).long(), 2, alpha, gradients, parameters)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_a_gradient_that_is_the_mixed_input(alpha):
    """lambda x_i + (1 - lambda) x_j, x of summed variance s: A = s / 2, C = 0, R = s / (2 (2 alpha + 1))."""
    mixture = made(lambda x, t: x.sum(1), alpha)
    s = mixture.x.var(0, correction=0).sum().item()
    law = components(mixture, 60_000)
    wanted = Components(s / 2, 0.0, s / (2 * (2 * alpha + 1)))
    assert law.pairs == pytest.approx(wanted.pairs, rel=0.02)
    assert law.lam == pytest.approx(0, abs=1e-3)
    assert law.interaction == pytest.approx(wanted.interaction, rel=0.03)
    for k, value in measured(mixture, (1, 3), 60_000).items():
        assert value == pytest.approx(wanted.predicted(k), rel=0.02)


def test_a_gradient_that_is_the_product_of_the_label_s_parts():
    """lambda (1 - lambda) D, D = 1 where labels differ, with chance d: lambda(1 - lambda) has mean 1/6 and variance 1/180, so
    A = d(1 - d)/36, C = d^2/180, R = d(1 - d)/180; a batch that shares lambdas keeps C / K."""
    mixture = made(lambda x, t: (t[..., 0] * t[..., 1]).sum(1, keepdim=True), parameters=1)
    d = 2 * 0.4 * 0.6
    wanted = Components(d * (1 - d) / 36, d * d / 180, d * (1 - d) / 180)
    law = components(mixture, 60_000)
    assert (law.pairs, law.lam, law.interaction) == pytest.approx(
        (wanted.pairs, wanted.lam, wanted.interaction), rel=0.03
    )
    for shared in (False, True):
        found = measured(mixture, (1, 4), 30_000, batch=6, shared=shared)
        for k, value in found.items():
            assert value == pytest.approx(wanted.predicted(k, 6, shared), rel=0.03)
    assert wanted.predicted(4, 6, True) > 1.2 * wanted.predicted(4, 6, False), "the two are told apart"


def test_few_pairs_leave_no_bias_in_the_components():
    """Means over many tables of 6 pairs are those of a large one."""
    mixture = made(lambda x, t: torch.cat([x, 3 * (t[..., :1] * t[..., 1:])], 2).sum(1), parameters=4)
    tables = [components(Mixture(**(vars(mixture) | {"seed": seed})), 6) for seed in range(1500)]
    large = components(mixture, 60_000)
    for name in ("pairs", "lam", "interaction"):
        values = [getattr(table, name) for table in tables]
        assert np.mean(values) == pytest.approx(getattr(large, name), abs=4 * np.std(values) / 1500**0.5 + 2e-4)


# ---- gradients one at a time


def test_gradients_are_those_of_one_image_at_a_time():
    """Of a network with BatchNorm in evaluation mode; sums over the second axis."""
    torch.manual_seed(0)
    model = small_cnn(3, 4, 8, width=3)
    model(torch.randn(20, 3, 8, 8))  # running statistics
    model.eval()
    x, targets = torch.randn(2, 3, 3, 8, 8), torch.rand(2, 3, 4).softmax(2)
    found = network_gradients(model)(x, targets)
    for k in range(2):
        model.zero_grad()
        for image, target in zip(x[k], targets[k]):
            (-(F.log_softmax(model(image[None]), 1)[0] * target).sum()).backward()
        wanted = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(found[k], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_the_variance_is_numpy_s_over_batches_one_at_a_time(shared, monkeypatch):
    """The same pairs for all K, lambdas that go on: by the definition, in chunks of any size."""
    mixture = moons(1.0)
    pairs = mixture.pairs(7 * 3, 2).view(2, 7, 3)
    lam = mixture.lambdas(7, 1 if shared else 3, 4, stream=3).expand(7, 3, 4)
    for chunk in (1, 1 << 24):
        monkeypatch.setattr("bench.tasks.classification.mixing_variance.CHUNK", {"cpu": chunk})
        found = measured(mixture, (1, 4), 7, batch=3, shared=shared)
        for k in (1, 4):
            rows = []
            for n in range(7):
                (i, j), weights = pairs[:, n], lam[n, :, :k].T
                images = torch.cat([w[:, None] * mixture.x[i] + (1 - w)[:, None] * mixture.x[j] for w in weights])
                one_hot = F.one_hot(mixture.y, 2).float()
                labels = torch.cat([w[:, None] * one_hot[i] + (1 - w)[:, None] * one_hot[j] for w in weights])
                rows.append((mixture.gradients(images[None], labels[None])[0] / (3 * k)).double().numpy())
            assert found[k] == pytest.approx(np.var(rows, axis=0, ddof=1).sum(), rel=1e-5)


def test_each_stratum_has_one():
    """alpha = 1: lambda is uniform, and its fifths are intervals."""
    lam = made(lambda x, t: x).strata(1000, 1, 5, stream=3)
    assert torch.equal((lam * 5).floor().long(), torch.arange(5).expand(1000, 1, 5))
    assert lam.std(0).min() > 0.05


def test_lambda_follows_its_law():
    """Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); quantiles at the middles of equal shares have nearly both."""
    for alpha in (0.2, 1.0, 2.0):
        mixture = made(lambda x, t: x, alpha)
        for lam in (mixture.lambdas(100_000, stream=3), mixture.levels(1000)):
            assert lam.mean().item() == pytest.approx(0.5, abs=0.005)
            assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)
