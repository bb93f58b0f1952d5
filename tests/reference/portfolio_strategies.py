"""Strategies of on-line portfolio selection, one path at a time in numpy: one cost level, one setting of hyper-parameters.

`strategy(name, x, cost, seed, keys)` is the portfolio of the first period and a rule
    (t, what was bought for period t, what it drifted to, its growth net of costs) -> what to buy for t + 1,
with periods counted from 0 and price relatives x [T, m], of which rows up to t may be used (all of them in hindsight).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from reference.portfolio_anticor import anticor

Array = np.ndarray
Rule = Callable[[int, Array, Array, float], Array]


def strategy(name: str, x: Array, cost: float, seed: int, keys: Mapping[str, Any]) -> tuple[Array, Rule]:
    """The first portfolio and the rule of one strategy; keys: its hyper-parameters, the suite's defaults where they are not given."""
    even, k = np.full(x.shape[1], 1 / x.shape[1]), dict(keys)
    if name in ("best", "bcrp"):
        found = np.eye(x.shape[1])[np.prod(x, axis=0).argmax()] if name == "best" else best_constant(x)
        return found, lambda t, b, held, net: b
    if name in ("anticor", "anticor2"):
        path = anticor(x, k.get("max_window", 30), 2 if name == "anticor2" else 1)
        return path[0], lambda t, b, held, net: path[t + 1]
    if name == "up":
        return universal(x, seed, k.get("samples", 5000))
    rules: dict[str, Callable[[], Rule]] = {
        "ubah": lambda: lambda t, b, held, net: held,
        "ucrp": lambda: lambda t, b, held, net: b,
        "eg": lambda: lambda t, b, held, net: over_sum(b * np.exp(k.get("eta", 0.05) * x[t] / (b @ x[t]))),
        "ons": lambda: newton(x, even, k.get("eta", 0.0), k.get("beta", 1.0), k.get("delta", 0.125)),
        "pamr": lambda: pamr(x, k.get("epsilon", 0.5), None, None),
        "pamr1": lambda: pamr(x, k.get("epsilon", 0.5), k.get("C", 500.0), None),
        "pamr2": lambda: pamr(x, k.get("epsilon", 0.5), None, k.get("C", 500.0)),
        "cwmr_var": lambda: cwmr(x, k.get("epsilon", 0.5), k.get("phi", 2.0), "var"),
        "cwmr_stdev": lambda: cwmr(x, k.get("epsilon", 0.5), k.get("phi", 2.0), "stdev"),
        "olmar1": lambda: olmar1(x, k.get("epsilon", 10.0), k.get("window", 5)),
        "olmar2": lambda: reverting(
            lambda t: forecast("olmar2", x, t, 0, k.get("alpha", 0.5)), k.get("epsilon", 10.0), 0
        ),
        "rmr": lambda: rmr(x, k.get("epsilon", 5.0), k.get("window", 5)),
        "tco1": lambda: tco(x, cost, k.get("eta", 10.0), k.get("rho", 10.0)),
    }
    return even, rules[name]() if name in rules else egab(name, x, cost, k)


def over_sum(v: Array) -> Array:
    return v / v.sum()


def onto_simplex(v: Array) -> Array:
    """The nearest portfolio: v - theta cut at 0, with theta found by bisection and then made exact on its support."""
    low, high = v.min() - 1, v.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(v - middle, 0).sum() > 1 else (low, middle)
    support = v > (low + high) / 2
    theta = (v[support].sum() - 1) / support.sum()
    return np.where(support, v - theta, 0.0)


def best_constant(x: Array) -> Array:
    """argmax of sum log(b . x_t): of all supports the one where Newton's point is a portfolio that no other asset improves."""
    m, best = x.shape[1], None
    for size in range(1, m + 1):
        for support in map(list, itertools.combinations(range(m), size)):
            b = np.full(size, 1 / size)
            for _ in range(100):
                ratio = x[:, support] / (x[:, support] @ b)[:, None]
                system = np.block([[ratio.T @ ratio, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
                step = np.linalg.lstsq(system, np.append(ratio.sum(0), 0.0), rcond=None)[0][:size]
                while (b + step <= 0).any() and abs(step).max() > 1e-14:
                    step = step / 2
                b = b + step
                if abs(step).max() < 1e-15:
                    break
            full = np.zeros(m)
            full[support] = over_sum(np.maximum(b, 0))
            value = np.log(x @ full).sum()
            if best is None or value > best[0] + 1e-13:
                best = value, full
    return best[1]


def universal(x: Array, seed: int, samples: int) -> tuple[Array, Rule]:
    """Constant portfolios drawn uniformly, weighted by what each has grown to."""
    stream = torch.Generator().manual_seed(seed)
    drawn = torch.empty(samples, x.shape[1], dtype=torch.float64).exponential_(generator=stream).numpy()
    constants = [over_sum(row) for row in drawn]

    def after(periods: int) -> Array:
        wealth = [math.prod(float(b @ row) for row in x[:periods]) for b in constants]
        return sum(w * b for w, b in zip(wealth, constants)) / sum(wealth)

    return after(0), lambda t, b, held, net: after(t + 1)


def newton(x: Array, even: Array, eta: float, beta: float, delta: float) -> Rule:
    """Online Newton step: the projection in the norm of A is the best of the minimisers on all supports."""
    a, total, m = np.eye(len(even)), np.zeros(len(even)), len(even)

    def nearest(c: Array) -> Array:
        found = []
        for size in range(1, m + 1):
            for s in map(list, itertools.combinations(range(m), size)):
                system = np.block([[a[np.ix_(s, s)], np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
                p = np.zeros(m)
                p[s] = np.linalg.solve(system, np.append(c[s], 1.0))[:size]
                if p.min() >= 0:
                    found.append((p @ a @ p / 2 - c @ p, p))
        return min(found, key=lambda pair: pair[0])[1]

    def rule(t: int, b: Array, held: Array, net: float) -> Array:
        nonlocal a, total
        g = x[t] / (b @ x[t])
        a, total = a + np.outer(g, g), total + g
        return (1 - eta) * nearest(delta * (1 + 1 / beta) * total) + eta / m

    return rule


def pamr(x: Array, epsilon: float, at_most: float | None, soft: float | None) -> Rule:
    tau = 0.0

    def rule(t: int, b: Array, held: Array, net: float) -> Array:
        nonlocal tau
        d = x[t] - x[t].mean()
        size = float(d @ d) + (0.0 if soft is None else 1 / (2 * soft))
        if size > 0:
            tau = max(0.0, net - epsilon) / size
            tau = tau if at_most is None else min(tau, at_most)
        return onto_simplex(b - tau * d)

    return rule


def cwmr(x: Array, epsilon: float, phi: float, variant: str) -> Rule:
    m = x.shape[1]
    sigma = np.full(m, 1 / m**2)

    def rule(t: int, mu: Array, held: Array, net: float) -> Array:
        nonlocal sigma
        r = x[t]
        mean = (sigma @ r) / sigma.sum()
        big_m, v, w = float(mu @ r), float(sigma @ r**2), float(sigma @ r)
        u = v - mean * w + phi**2 * v / 2
        if variant == "var":
            a, b = 2 * phi * v * (v - mean * w), 2 * phi * v * (epsilon - big_m) + v - mean * w
            c = epsilon - big_m - phi * v
        else:
            a, b, c = u**2 - phi**4 * v**2 / 4, 2 * (epsilon - big_m) * u, (epsilon - big_m) ** 2 - phi**2 * v
        step = 0.0
        if b**2 - 4 * a * c > 0 and a != 0:
            step = max(0.0, *((-b + sign * math.sqrt(b**2 - 4 * a * c)) / (2 * a) for sign in (1, -1)))
        elif a == 0 and b != 0:
            step = max(0.0, -c / b)
        scale = 2 * phi
        if variant == "stdev":
            scale = phi / ((-step * phi * v + math.sqrt(step**2 * v**2 * phi**2 + 4 * v)) / 2)
        new = 1 / (1 / sigma + step * scale * r**2)
        if variant == "stdev" and np.prod(new) <= np.finfo(float).eps:
            new = new + np.finfo(float).eps
        moved = mu - step * sigma * (r - mean)
        sigma = over_sum(new) / m
        return onto_simplex(moved)

    return rule


def reverting(phi: Callable[[int], Array], epsilon: float, first: int) -> Rule:
    """A step to a return of epsilon under the forecast, from period `first` on (from 0) that a portfolio was held in."""

    def rule(t: int, b: Array, held: Array, net: float) -> Array:
        f = phi(t)
        d = f - f.mean()
        if t < first or not d.any():
            return b
        return onto_simplex(b + max(0.0, epsilon - float(b @ f)) / float(d @ d) * d)

    return rule


def olmar1(x: Array, epsilon: float, window: int) -> Rule:
    return reverting(lambda t: x[t] if t + 1 < window + 1 else forecast("olmar1", x, t, window, 0.0), epsilon, 1)


def rmr(x: Array, epsilon: float, window: int) -> Rule:
    from_one = np.vstack([np.ones_like(x[:1]), x[1:]])
    return reverting(lambda t: x[t] if t + 1 < window + 1 else forecast("rmr", from_one, t, window, 0.0), epsilon, 0)


def tco(x: Array, cost: float, eta: float, rho: float) -> Rule:
    def rule(t: int, b: Array, held: Array, net: float) -> Array:
        phi = 1 / x[t]
        v = phi / (held @ phi)
        u = eta * (v - v.mean())
        return onto_simplex(held + np.sign(u) * np.maximum(abs(u) - rho * cost, 0))

    return rule


def forecast(kind: str, x: Array, t: int, window: int, decay: float) -> Array:
    """Relatives expected in period t + 1 (from 0) after rows 0 to t; prices start at p = 1."""
    prices = [np.ones(x.shape[1])]
    for row in x[: t + 1]:
        prices.append(prices[-1] * row)
    if kind == "momentum":
        return x[t]
    if kind == "reversion":
        return 1 / x[t]
    if kind == "olmar1":
        return sum(prices[-window:]) / len(prices[-window:]) / prices[-1]
    if kind == "olmar2":
        phi = np.ones(x.shape[1])
        for row in x[: t + 1]:
            phi = decay + (1 - decay) * phi / row
        return phi
    assert kind == "rmr"
    return np.ones(x.shape[1]) if len(prices) < window else l1_median(np.array(prices[-window:])) / prices[-1]


def l1_median(points: Array) -> Array:
    """The point with the least sum of distances: one of the points if the others pull no harder than it is often there, else by iteration."""
    for y in points:
        apart = points[(points != y).any(1)] - y
        pull = (apart / np.linalg.norm(apart, axis=1)[:, None]).sum(0)
        if np.linalg.norm(pull) <= len(points) - len(apart):
            return y
    y = points.mean(0)
    for _ in range(3000):
        weight = 1 / np.linalg.norm(points - y, axis=1)
        before, y = y, weight @ points / weight.sum()
        if abs(y - before).max() < 1e-14:
            break
    return y


def egab(name: str, x: Array, cost: float, k: Mapping[str, Any]) -> Rule:
    """w exp_{1-alpha}(-eta w^(1-alpha-beta) h), floored at 1e-10 and divided by the sum; h of the forms U, N and P."""
    alpha, beta = {"egab_eg": (0.0, 1.0), "egab_gd": (1.0, 1.0)}.get(name, (0.5, 1.0))
    alpha, beta, eta = k.get("alpha", alpha), k.get("beta", beta), k.get("eta", 20.0)
    form, threshold = {"egab_u": "U", "egab_p": "P"}.get(name, "N"), k.get("threshold")

    def factor(z: float) -> float:
        """Its logarithm lies between -700 and 700."""
        if alpha == 0:
            return math.exp(min(max(z, -700.0), 700.0))
        if 1 + alpha * z <= 0:
            return math.exp(-700.0 if alpha > 0 else 700.0)
        return math.exp(min(max(math.log(1 + alpha * z) / alpha, -700.0), 700.0))

    def rule(t: int, b: Array, held: Array, net: float) -> Array:
        w = b if threshold is None else held
        f = forecast(k.get("forecast", "olmar1"), x, t, k.get("window", 5), k.get("decay", 0.5))
        g = -f / (w @ f)
        if form == "N":
            g = g - w @ g
        elif form == "P":
            pull = w ** (2 - alpha - beta) if k.get("projection", "metric") == "metric" else np.ones_like(w)
            g = g - (pull @ g) / pull.sum()
        if threshold is not None:
            c = threshold * cost / 2
            g = np.sign(g) * np.maximum(abs(g) - c, 0)
        logs = np.log(w) + [math.log(factor(z)) for z in -eta * w ** (1 - alpha - beta) * g]
        new = over_sum(np.exp(logs - logs.max()))
        return over_sum(np.maximum(new, 1e-10))

    return rule
