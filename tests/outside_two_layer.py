"""Outside references of feature learning's baselines: torch.optim with its weight decay on autograd's gradient, scikit-learn's ridge."""

from __future__ import annotations

import math
from typing import Any

import torch
from outside_made import made, of_test
from sklearn.linear_model import Ridge
from torch import Tensor

from bench.seeding import generator
from bench.tasks.teacher_recovery.oracle import Oracle
from bench.tasks.teacher_recovery.relu_population import directions, kernel
from datasets.teachers.teacher_student import teacher_student

D, WIDTH, STEPS = 5, 7, 60
DATASET = {"dataset": "teacher_student"}
ONE_PASS = "tasks/feature_learning/test_one_pass.py"


def loss(a: Tensor, w: Tensor, teachers: Any) -> Tensor:
    """E (f - f*)^2 / 2 of networks of |w.x| / 2 less its mean, from E |u.x| |v.x| = 2 (sqrt(1 - t^2) + t arcsin t) / pi, t = u.v."""
    length = w.norm(dim=-1)
    units = torch.cat([w / length[..., None], teachers.units.expand(*w.shape[:-2], -1, -1)], -2)
    mass = torch.cat([a * length, -teachers.weights.expand(*a.shape[:-1], -1)], -1)
    own = torch.eye(mass.shape[-1], dtype=torch.bool)
    t = (units @ units.mT).masked_fill(own, 0.0)  # of a unit with itself it is 1, and has no slope
    moment = torch.where(own, 1.0, 2 / math.pi * ((1 - t * t).sqrt() + t * t.asin()))
    return ((moment / 4 - 1 / (2 * math.pi)) @ mass[..., None])[..., 0].mul(mass).sum(-1) / 2


def _start() -> tuple[Any, Tensor, Tensor]:
    """Teachers of one seed, signs [1, m] and unit rows [1, m, d]."""
    drawn = torch.randn(1, WIDTH, D + 1, generator=generator(0, "init"), dtype=torch.float64)
    return teacher_student("", [0], dim=D), drawn[..., 0].sign(), directions(drawn[..., 1:])[0]


def _features(name: str, rows_expected: Tensor, teachers: Any, signs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """a [m], w [m, d] after both first stages, of which the second is scikit-learn's ridge on the features' square root."""
    method, oracle = made(name, **DATASET), Oracle(teachers, [0])
    first = method.first(oracle, signs, rows)
    torch.testing.assert_close(first, rows_expected, rtol=1e-6, atol=1e-8)
    a, w = method.second(oracle, first)
    gram, target = kernel(first @ first.mT)[0], (kernel(first @ teachers.units.mT) @ teachers.weights[..., None])[0]
    values, vectors = torch.linalg.eigh(gram)
    root = vectors * values.clamp_min(1e-14).sqrt()  # gram = root root^T, up to rounding
    ridge = {"unregularised_gd": 1e-3, "random_start_gd": 1e-3, "regularised_gd_fixed": 1e-3}.get(name, 1e-6)
    fit = Ridge(alpha=ridge, fit_intercept=False, solver="svd")
    fit.fit(root.mT.numpy(), torch.linalg.solve(root, target)[:, 0].numpy())
    coefficients = torch.from_numpy(fit.coef_)
    torch.testing.assert_close((a * w.norm(dim=-1))[0].flatten(), coefficients, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(a.abs(), w.norm(dim=-1), rtol=1e-9, atol=1e-12)
    return a.reshape(1, 1, WIDTH), w.reshape(1, 1, WIDTH, D)


def _one_step(teachers: Any, signs: Tensor, rows: Tensor) -> Tensor:
    """Minus autograd's gradient of the loss by the rows of a network of no output, to length 1: what is odd in the output weights."""
    odd = torch.zeros_like(rows)
    for size in (0.1, -0.1):
        w = rows.clone().requires_grad_()
        odd += size * torch.autograd.grad(loss(size * signs, w, teachers).sum(), w)[0]
    return -odd / odd.norm(dim=-1, keepdim=True)


def _descends(name: str, lam: float, random: bool) -> None:
    """All three stages: torch.optim.SGD with weight decay lam on autograd's gradient of the population loss."""
    teachers, signs, rows = _start()
    expected = rows if random else _one_step(teachers, signs, rows)
    a, w = _features(name, expected, teachers, signs, rows)
    method = made(name, **DATASET)
    method.begin(STEPS, torch.device("cpu"))
    theirs = [torch.nn.Parameter(a.clone()), torch.nn.Parameter(w.clone())]
    opt = torch.optim.SGD(theirs, lr=0.5, weight_decay=lam)
    for t in range(STEPS):
        a, w = method.update(Oracle(teachers, [0]), t, a, w)
        if lam and method.halvings:
            opt.param_groups[0]["weight_decay"] = lam * 2 ** (-9 * t / STEPS)
        opt.zero_grad()
        loss(*theirs, teachers).sum().backward()
        opt.step()
    torch.testing.assert_close(a, theirs[0].detach(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(w, theirs[1].detach(), rtol=1e-5, atol=1e-7)


def random_features() -> None:
    """The rows as they start, and scikit-learn's ridge on them."""
    teachers, signs, rows = _start()
    _features("random_features", rows, teachers, signs, rows)


def one_step_features() -> None:
    """One step along autograd's gradient, and scikit-learn's ridge."""
    teachers, signs, rows = _start()
    _features("one_step_features", _one_step(teachers, signs, rows), teachers, signs, rows)


def unregularised_gd() -> None:
    """torch.optim.SGD without weight decay."""
    _descends("unregularised_gd", 0.0, random=False)


def regularised_gd_fixed() -> None:
    """torch.optim.SGD with weight decay."""
    _descends("regularised_gd_fixed", 1e-3, random=False)


def random_start_gd() -> None:
    """torch.optim.SGD with a weight decay that halves nine times, from random rows."""
    _descends("random_start_gd", 3e-3, random=True)


REFERENCES = {
    **{
        f.__name__: f
        for f in (random_features, one_step_features, unregularised_gd, regularised_gd_fixed, random_start_gd)
    },
    "online_sgd": of_test(ONE_PASS, "test_online_sgd_is_gradient_descent_on_vectors", "sphere", "correlation", 1),
    "smoothed_sgd": of_test(ONE_PASS, "test_smoothing_averages_over_a_sphere_around_w"),
    "same_batch_gd": of_test(ONE_PASS, "test_all_samples_at_once_is_gradient_descent"),
    "multipass_gd": of_test(ONE_PASS, "test_all_samples_at_once_is_gradient_descent"),
    "repeated_sgd": of_test(ONE_PASS, "test_batch_reuse_is_two_explicit_steps", "free", 0.0, "renewed", 1, "none"),
    "egd": of_test(ONE_PASS, "test_extragradient_takes_its_gradient_elsewhere", "free", 0.5),
    "sam": of_test(ONE_PASS, "test_extragradient_takes_its_gradient_elsewhere", "free", -0.5),
}
