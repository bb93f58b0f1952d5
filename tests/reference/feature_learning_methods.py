"""The methods of feature learning as explicit steps on whole vectors, one path at a time: w [N, d], samples x [B, d], y [B]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from reference.feature_learning_data import Array, Link, Network
from scipy.special import roots_gegenbauer

SPHERE = {"geometry": "sphere", "loss": "correlation", "batch_size": 1}
FREE = {"geometry": "free", "loss": "squared", "batch_size": 1}
FRESH = {"fresh": True, "steps": None}
REUSE = {"kind": "reuse", "lr": 1.0, "lr_power": 1.0, "interpolation": 0.9, "weak_until": 0.5, "strong_lr": 0.03}
METHODS: dict[str, dict[str, Any]] = {  # what each is by default
    "online_sgd": {"kind": "sgd", "lr": 0.2, "lr_power": 1.0, **SPHERE, **FRESH},
    "same_batch_gd": {"kind": "sgd", "lr": 3.0, "lr_power": 0.0, **SPHERE, "loss": "squared", "batch_size": None}
    | {"fresh": False},
    "multipass_gd": {"kind": "sgd", "lr": 0.6 / math.sqrt(2), "lr_power": 0.0, **FREE, "batch_size": None}
    | {"fresh": False, "steps": 6},
    "reuse_sgd": {**REUSE, "projection": "frozen", **SPHERE, **FRESH},
    "reuse_sgd_renewed": {**REUSE, "projection": "renewed", **SPHERE, **FRESH},
    "repeated_sgd": {**REUSE, "lr": 0.1, "interpolation": 0.0, "weak_until": 1.0, "projection": "frozen"}
    | {**FREE, **FRESH},
    "reuse_map": {"kind": "ahead", "lr": 0.1, "lr_power": 1.0, "inner_lr": 1.0, "keep_first": True, **SPHERE, **FRESH},
    "egd": {"kind": "ahead", "lr": 0.1, "lr_power": 1.0, "inner_lr": 0.1, "keep_first": False, **FREE, **FRESH},
    "sam": {"kind": "ahead", "lr": 0.1, "lr_power": 1.0, "inner_lr": -0.1, "keep_first": False, **FREE, **FRESH},
    "smoothed_sgd": {"kind": "smoothed", "lr": 0.1, "lr_power": 1.5, "smoothing": 1.0, "smooth_until": 1.0}
    | {**SPHERE, **FRESH},
    "all_layers_gd": {"kind": "all", "lr": 1.0, "lr_power": 1.0, **FREE, "batch_size": None, "fresh": False},
}


def gradient(w: Array, x: Array, y: Array, net: Network, squared: bool) -> Array:
    """Minus N / (its factor) times the gradient of the mean loss: mean over samples of a_j s'(w_j.x + b_j) (y - f) x, or y for y - f."""
    total = np.zeros_like(w)
    for sample, label in zip(x, y):
        h = w @ sample
        error = label - net.output(h) if squared else label
        total += np.outer(net.a * net.slope(h + net.b) * error, sample)
    return total / len(x)


def tangent(w: Array, g: Array) -> Array:
    """Rows of g without their part along the rows of w."""
    return np.array([v - (v @ row) * row for v, row in zip(g, w)])


def unit(w: Array) -> Array:
    """Rows of length 1."""
    return np.array([row / np.linalg.norm(row) for row in w])


def step(method: dict[str, Any], w: Array, x: Array, y: Array, net: Network, link: Link, part: float) -> Array:
    """W after one step on these samples; `part` of the run is over. all_layers_gd moves a and b of the network too."""
    return {"sgd": _sgd, "reuse": _reuse, "ahead": _ahead, "smoothed": _smoothed, "all": _all}[method["kind"]](
        method, w, x, y, net, link, part
    )


def _moved(method: dict[str, Any], w: Array, change: Array) -> Array:
    return unit(w + tangent(w, change)) if method["geometry"] == "sphere" else w + change


def _sgd(method, w, x, y, net, link, part) -> Array:
    eta = method["lr"] / w.shape[1] ** method["lr_power"]
    return _moved(method, w, eta * gradient(w, x, y, net, method["loss"] == "squared"))


def _reuse(method, w, x, y, net, link, part) -> Array:
    """Algorithm 1: two steps on the same samples, interpolation, normalisation; in strong recovery one step of its own size."""
    flat, squared, scale = method["geometry"] == "free", method["loss"] == "squared", w.shape[1] ** method["lr_power"]
    if part >= method["weak_until"]:
        return _moved(method, w, method["strong_lr"] / scale * gradient(w, x, y, net, squared))
    eta = method["lr"] / scale
    g = gradient(w, x, y, net, squared)
    between = w + eta * (g if flat else tangent(w, g))
    g = gradient(between, x, y, net, squared)
    after = between + eta * (g if flat else tangent(between if method["projection"] == "renewed" else w, g))
    new = after - method["interpolation"] * (after - w)
    return new if flat else unit(new)


def _ahead(method, w, x, y, net, link, part) -> Array:
    """The gradient of each sample where its own inner step leads, and on demand the one at w too."""
    d, flat, squared = w.shape[1], method["geometry"] == "free", method["loss"] == "squared"
    total = np.zeros_like(w)
    for k in range(len(x)):
        own = x[k : k + 1], y[k : k + 1]
        g = gradient(w, *own, net, squared)
        ahead = w + method["inner_lr"] / d * (g if flat else tangent(w, g))
        total += gradient(ahead, *own, net, squared) + (g if method["keep_first"] else 0)
    return _moved(method, w, method["lr"] / d ** method["lr_power"] * total / len(x))


def _smoothed(method, w, x, y, net, link, part) -> Array:
    """Online SGD on the loss averaged over the sphere of radius lambda around w, of which one coordinate t is integrated."""
    d = w.shape[1]
    lam = method["smoothing"] * d**0.25 if part < method["smooth_until"] else 0.0
    t, weight = roots_gegenbauer(12, (d - 3) / 2)  # t has density proportional to (1 - t^2)^((d - 4) / 2)
    weight, root = weight / weight.sum(), math.sqrt(1 + lam**2)
    change = np.zeros_like(w)
    for j, row in enumerate(w):
        u = row @ x[0]
        rest = math.sqrt(x[0] @ x[0] - u**2)
        slope = (weight * link.slope((u + lam * rest * t) / root) * (1 - lam * t * u / rest)).sum() / root
        change[j] = method["lr"] * (1 + lam**2) ** 2 / d ** method["lr_power"] * net.a[j] * y[0] * slope * x[0]
    return unit(w + tangent(w, change))


def _all(method, w, x, y, net, link, part) -> Array:
    """Gradient descent on W, a and b at once, each by the gradient divided by the factor before the network's sum."""
    eta = method["lr"] / w.shape[1] ** method["lr_power"]
    new, a, b = w + eta * gradient(w, x, y, net, True), net.a.copy(), net.b.copy()
    for sample, label in zip(x, y):
        h = w @ sample
        error = label - net.output(h)
        a += eta * error * net.value(h + net.b) / len(x)
        if net.biased:
            b += eta * error * net.a * net.slope(h + net.b) / len(x)
    net.a, net.b = a, b
    return new


def exponent(method: dict[str, Any], information: int, generative: int) -> float | None:
    """The power of d that theory has for the samples of the method: k* - 1 by reuse, k / 2 by smoothing, else k - 1, and 1 at least."""
    if method["kind"] == "all" or not method["fresh"]:
        return None
    reuses = method["kind"] == "reuse" or (method["kind"] == "ahead" and method["inner_lr"] != 0)
    if method["kind"] == "smoothed" and method["smoothing"] != 0:
        return max(information / 2, 1)
    return max((generative if reuses else information) - 1, 1)
