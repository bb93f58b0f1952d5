"""What a network's rows W [N, d] are worth: overlaps, losses, the second phase by scikit-learn, hitting times. One path at a time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from reference.feature_learning_data import RIDGE, TEST, Array, Link, Network, samples
from scipy.stats import norm
from sklearn.linear_model import Ridge

from bench.seeding import generator

NODES = {1: 150, 2: 70, 3: 36}


def overlaps(w: Array, theta: Array, net: Network, link: Link, aligned_at: float) -> dict[str, float]:
    """The numbers of every row of the curve."""
    cosines = [[(row @ t) / np.linalg.norm(row) for t in theta] for row in w]
    sizes = [math.sqrt(sum(c * c for c in own)) for own in cosines]
    found = {
        "overlap_mean": sum(sizes) / len(sizes),
        "overlap_max": math.nan if any(map(math.isnan, sizes)) else max(sizes),
        "aligned": sum(s >= aligned_at for s in sizes) / len(sizes),
    }
    if len(theta) > 1:
        for i in range(len(theta)):
            found[f"overlap_{i + 1}"] = max(abs(own[i]) for own in cosines)
    if link.linear is not None:
        along = [np.sign(a) * sum(u * (row @ t) for u, t in zip(link.linear, theta)) for a, row in zip(net.a, w)]
        found["projection"] = sum(along) / len(along)
    return found


def network_error(w: Array, net: Network, x: Array, y: Array) -> float:
    """E (f - y)^2 over samples."""
    return float(np.mean([(net.output(w @ sample) - label) ** 2 for sample, label in zip(x, y)]))


def arc_cosine(u: Array, v: Array) -> float:
    """E relu(u.x) relu(v.x), Cho and Saul, 2009."""
    size = np.linalg.norm(u) * np.linalg.norm(v)
    t = float(np.clip(u @ v / size, -1, 1))
    return size * (math.sqrt(1 - t * t) + (math.pi - math.acos(t)) * t) / (2 * math.pi)


def population_loss(w: Array, theta: Array, net: Network, data: dict[str, Any], link: Link) -> float:
    """1/2 E (f - y)^2: f^2 by arc-cosines, f g over the directions by quadrature after the mean over the rest of w.x, which is normal."""
    own = sum(p * q * arc_cosine(u, v) for p, u in zip(net.a, w) for q, v in zip(net.a, w)) * net.scale**2
    cross, second = _cross(w, theta, net, data, link), None
    if data.get("link") == "relu":
        second = link.variance if data["normalised"] else 0.5
    else:
        z, weight = _points(len(theta))
        second = float(weight @ link.value(z) ** 2)
    return (own - 2 * cross + second + data["noise"] ** 2) / 2


def _cross(w: Array, theta: Array, net: Network, data: dict[str, Any], link: Link) -> float:
    if data.get("link") == "relu":  # relu less its mean over its deviation, if normalised
        mean, sd = (1 / math.sqrt(2 * math.pi), math.sqrt(0.5 - 0.5 / math.pi)) if data["normalised"] else (0.0, 1.0)
        each = [(arc_cosine(row, theta[0]) - mean * np.linalg.norm(row) / math.sqrt(2 * math.pi)) / sd for row in w]
        return net.scale * float(net.a @ each)
    z, weight = _points(len(theta))
    values, total = link.value(z), 0.0
    for a, row in zip(net.a, w):
        m = theta @ row
        rest = math.sqrt(max(row @ row - m @ m, 0.0))
        mu = z @ m
        relu = mu * norm.cdf(mu / rest) + rest * norm.pdf(mu / rest)
        total += a * float(weight @ (values * relu))
    return net.scale * total


def _points(k: int) -> tuple[Array, Array]:
    """Gauss-Hermite nodes [n, k] of N(0, I_k) and weights."""
    z, w = np.polynomial.hermite_e.hermegauss(NODES[k])
    w = w / w.sum()
    nodes = np.array(list(itertools.product(z, repeat=k)))
    return nodes, np.array([math.prod(each) for each in itertools.product(w, repeat=k)])


def second_phases(
    w: Array, theta: Array, net: Network, data: dict[str, Any], link: Link, task: dict[str, Any], name: tuple
) -> dict[tuple[int, int], float]:
    """{(N, T_2): test error over the label's variance}: new biases, new samples, a ridge second layer with the best of the penalties.

    name: seed, replicate, d.
    """
    counts, (seed, replicate, d) = task["ridge_samples"], name
    counts = [counts] * bool(counts) if isinstance(counts, int) else counts
    if not counts:
        return {}
    x, y = samples(data, theta, *name, RIDGE, max(counts))
    test_x, test_y = samples(data, theta, *name, TEST, task["test_samples"])
    drawn = torch.rand(len(w), 1, generator=generator(seed, "init", d, replicate, RIDGE), dtype=torch.float64)
    biases, found = task["ridge_bias"] * (2 * drawn.numpy()[:, 0] - 1), {}
    u = np.array([row / np.linalg.norm(row) for row in w])
    if not np.isfinite(u).all():
        return {(width, count): math.nan for width in task["ridge_widths"] or [len(w)] for count in counts}
    for width in sorted(task["ridge_widths"] or [len(w)]):
        part = net.first(width, biases[:width])
        features, seen = (np.array([part.value(u[:width] @ s + part.b) for s in each]) for each in (x, test_x))
        for count in sorted(counts):
            fit = _chosen(features[:count], y[:count], task["ridge_penalties"])
            error = float(np.mean((fit.predict(seen) - test_y) ** 2))
            found[width, count] = error / (link.variance + data["noise"] ** 2)
    return found


def _chosen(features: Array, y: Array, penalties: list[float]) -> Ridge:
    """The fit of all samples with the penalty that the first four fifths do best with on the last."""
    cut = len(y) * 4 // 5
    errors = []
    for penalty in penalties:
        fit = _ridge(penalty, features[:cut], y[:cut])
        errors.append(float(np.mean((fit.predict(features[cut:]) - y[cut:]) ** 2)))
    return _ridge(penalties[int(np.argmin(errors))], features, y)


def _ridge(penalty: float, features: Array, y: Array) -> Ridge:
    return Ridge(alpha=penalty * len(y), fit_intercept=False, solver="svd").fit(features, y)


def hitting_time(levels: list[float], size: int, threshold: float, stay: float) -> float:
    """The first number of samples from which on the level is at least the threshold at each step for `stay` samples more."""
    for start in range(len(levels)):
        end = start
        while end < len(levels) and levels[end] >= threshold:
            if (end - start) * size >= stay:
                return (start + 1) * size
            end += 1
    return math.inf


def lower_median(values: list[float]) -> float:
    """The middle one, the lower of two."""
    return sorted(values)[(len(values) - 1) // 2]
