"""Plain index models and two-layer networks, one path at a time: links, exponents, directions, samples, neurons. NumPy and the named streams."""

from __future__ import annotations

import math
from ast import literal_eval
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.polynomial import hermite_e, polynomial

from bench.seeding import generator

Array = np.ndarray
TEACHER, RIDGE, TEST = 0, -1, -2  # blocks that are no training samples
NAMED = {"he2+he3": [0, 0, 1, 1], "he2+he4": [0, 0, 1, 0, 1], "he3-0.15he5": [0, 0, 0, 1, 0, Fraction(-15, 100)]}
FORMS: dict[str, tuple[int, Callable[..., Array]]] = {  # k and g(z_1, ..., z_k)
    "z1+z1z2": (2, lambda p, q: p + p * q),
    "z1+he3_z2": (2, lambda p, q: p + q**3 - 3 * q),
    "z1+z1he3_z2": (2, lambda p, q: p + p * (q**3 - 3 * q)),
    "z1z2z3": (3, lambda p, q, r: p * q * r),
    "sign_z1z2": (2, lambda p, q: np.sign(p * q)),
    "5sign_z1z2z3": (3, lambda p, q, r: 5 * np.sign(p * q * r)),
    "he4_z1+5sign_z1z2z3": (3, lambda p, q, r: p**4 - 6 * p**2 + 3 + 5 * np.sign(p * q * r)),
    "he2_z1+5sign_z1z2z3": (3, lambda p, q, r: p**2 - 1 + 5 * np.sign(p * q * r)),
    "tanh_z1+he3_z2": (2, lambda p, q: np.tanh(p + q**3 - 3 * q)),
}
VARIANCES = {"z1+z1z2": 2, "z1+he3_z2": 7, "z1+z1he3_z2": 7, "z1z2z3": 1, "sign_z1z2": 1, "5sign_z1z2z3": 25}
VARIANCES |= {"he4_z1+5sign_z1z2z3": 24 + 25, "he2_z1+5sign_z1z2z3": 2 + 25}  # He_j(z_1) and the sign are orthogonal


@dataclass
class Link:
    """g, its derivative where k = 1, its variance, E[g z] to length 1 (None: no linear part), what theory says of it.

    `closed`: the loss of a plain ReLU network has a closed form. `degree`: of a polynomial with k = 1.
    """

    k: int
    value: Callable[[Array], Array]  # [..., k] -> [...]
    variance: float
    linear: Array | None
    closed: bool
    slope: Callable[[Array], Array] | None = None
    degree: int | None = None
    exponents: tuple[int, int] | None = None
    power: tuple[int, int] | None = None


def single(data: dict[str, Any]) -> Link:
    """A link of one direction, of mean 0 and variance 1 if `normalised`."""
    if data["link"] == "relu":
        mean, sd = (1 / math.sqrt(2 * math.pi), math.sqrt(0.5 - 0.5 / math.pi)) if data["normalised"] else (0.0, 1.0)
        variance = 1.0 if data["normalised"] else 0.5 - 0.5 / math.pi
        value, slope = (lambda z: (np.maximum(z[..., 0], 0) - mean) / sd), (lambda z: (z > 0) / sd)
        return Link(1, value, variance, np.ones(1), True, slope, exponents=(1, 1))
    c = [Fraction(str(float(v))) for v in _hermite_coefficients(data)]
    variance = float(sum(math.factorial(k) * v**2 for k, v in enumerate(c) if k))
    plain = np.array([float(v) for v in c])
    if data["normalised"]:
        plain, c, variance = np.array([0.0, *plain[1:]]) / math.sqrt(variance), [Fraction(0), *c[1:]], 1.0
    linear = np.sign(plain[1:2]) if len(plain) > 1 and abs(plain[1]) > 1e-3 * math.sqrt(variance) else None
    information = next(k for k, v in enumerate(c) if k and v)
    generative = 2 if not any(c[1::2]) else 1  # of a polynomial: 2 if it is even
    value, slope = (
        (lambda z: hermite_e.hermeval(z[..., 0], plain)),
        (lambda z: hermite_e.hermeval(z, hermite_e.hermeder(plain))),
    )
    exponents, power = (information, min(generative, information)), smallest_power(c)
    return Link(1, value, variance, linear, True, slope, len(plain) - 1, exponents, power)


def _hermite_coefficients(data: dict[str, Any]) -> list[Any]:
    name, given = data["link"], data.get("coefficients")
    if name == "hermite":
        return given
    if name == "polynomial":
        return list(hermite_e.poly2herme(given))
    return NAMED.get(name) or [0] * int(name[2:]) + [1]


def smallest_power(c: list[Fraction]) -> tuple[int, int]:
    """(i, k) of Proposition 6 for sum_k c_k He_k: the first g^i with E g^i He_k != 0 for a k <= 2, for k = 1 where g is not even. Exact."""
    g = [Fraction(0)] * len(c)
    for k, value in enumerate(c):
        for j, factor in enumerate(hermite_e.herme2poly([0] * k + [1])):
            g[j] += value * int(factor)
    largest, product = (2 if not any(g[1::2]) else 1), [Fraction(1)]
    for i in range(1, 99):
        product = _times(product, g)
        for k in range(1, largest + 1):
            if _mean(_times(product, [Fraction(int(v)) for v in hermite_e.herme2poly([0] * k + [1])])):
                return i, k
    raise AssertionError(c)


def _times(p: list[Fraction], q: list[Fraction]) -> list[Fraction]:
    found = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            found[i + j] += a * b
    return found


def _mean(p: list[Fraction]) -> Fraction:
    """E p(z): E z^2m = 1 3 5 ... (2 m - 1)."""
    return sum((v * math.prod(range(1, k, 2)) for k, v in enumerate(p) if k % 2 == 0), Fraction(0))


def several(data: dict[str, Any]) -> Link:
    """A form of several directions, divided by its standard deviation if `normalised`."""
    k, g = FORMS[data["target"]]
    variance, linear = VARIANCES.get(data["target"]), None
    if data["target"].startswith("z1+"):
        linear = np.array([1.0, 0.0])
    if data["target"].startswith("tanh"):
        variance, linear = _of_tanh()
    factor = 1 / math.sqrt(variance) if data["normalised"] else 1.0
    closed = data["target"].startswith("z1")
    return Link(k, lambda z: factor * g(*np.moveaxis(z, -1, 0)), variance * factor**2, linear, closed)


@cache
def _of_tanh() -> tuple[float, Array]:
    """Variance of tanh(z1 + He_3(z2)) and E[g z] to length 1, by the trapezoidal rule."""
    z = np.arange(-8, 8.001, 0.01)
    w = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    g = np.tanh(z[:, None] + (z**3 - 3 * z)[None])
    moment = np.array([w * z @ g @ w, w @ g @ (w * z)])
    return float(w @ g**2 @ w), moment / np.linalg.norm(moment)


def link_of(data: dict[str, Any]) -> Link:
    """Of a data set's keys."""
    return _made(tuple((name, str(value)) for name, value in data.items()), single if "link" in data else several)


@cache
def _made(keys: tuple, kind: Callable[[dict[str, Any]], Link]) -> Link:
    return kind({name: value if name in ("link", "target") else literal_eval(value) for name, value in keys})


def directions(data: dict[str, Any], k: int, seed: int, replicate: int, d: int) -> Array:
    """theta [k, d], orthonormal."""
    if not data["rotated"]:
        return np.eye(k, d)
    drawn = torch.randn(d, k, generator=generator(seed, "data", d, replicate, TEACHER), dtype=torch.float64)
    return np.linalg.qr(drawn.numpy())[0].T


def samples(
    data: dict[str, Any], theta: Array, seed: int, replicate: int, d: int, block: int, count: int
) -> tuple[Array, Array]:
    """x [count, d] and y [count] of a block; both kinds of numbers are drawn in single precision."""
    stream = generator(seed, "data", d, replicate, block)
    x = torch.randn(count, d, generator=stream).numpy().astype(float)
    y = link_of(data).value(x @ theta.T)
    if data["noise"]:
        y = y + (np.float32(data["noise"]) * torch.randn(count, generator=stream).numpy()).astype(float)
    return x, y


@dataclass
class Network:
    """a, b [N], the factor before the sum, and s, s' as functions of z [N]."""

    a: Array
    b: Array
    scale: float
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    biased: bool = False
    polynomials: Array | None = None  # by powers, [N, K + 1]

    def output(self, h: Array) -> float:
        """f for h = W x [N]."""
        return self.scale * float((self.a * self.value(h + self.b)).sum())

    def first(self, count: int, b: Array) -> Network:
        """The first `count` neurons with other biases [N]."""
        part = replace(self, a=self.a[:count], b=b[:count])
        return part if self.polynomials is None else _with_polynomials(part, self.polynomials[:count])


def network(model: dict[str, Any], link: Link, seed: int, replicate: int, d: int) -> Network:
    """The neurons of one path as they start."""
    width = model["width"]
    drawn = torch.randn(2, width, generator=generator(seed, "init", d, replicate), dtype=torch.float64).numpy()
    a = {
        "signs": np.sign(drawn[0]),
        "ones": np.ones(width),
        "alternating": np.array([(-1.0) ** j for j in range(width)]),
        "gaussian": drawn[0],
    }[model["second_layer"]]
    b = drawn[1] if model["bias"] == "normal" else np.zeros(width)
    scale = {"mean": 1 / width, "root": width**-0.5}[model["output"]]
    biased = model["bias"] == "normal"
    if model["activation"] == "polynomial":
        return _with_polynomials(Network(a, b, scale, abs, abs, biased), _polynomials(model, link, seed, replicate, d))
    if model["activation"] == "link":
        return Network(a, b, scale, lambda z: link.value(z[..., None]), link.slope, biased)
    return Network(a, b, scale, lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, biased)


def _with_polynomials(net: Network, each: Array) -> Network:
    def value(z: Array) -> Array:
        return np.array([polynomial.polyval(v, p) for v, p in zip(z, each)])

    def slope(z: Array) -> Array:
        return np.array([polynomial.polyval(v, polynomial.polyder(p)) for v, p in zip(z, each)])

    return replace(net, value=value, slope=slope, polynomials=each)


def _polynomials(model: dict[str, Any], link: Link, seed: int, replicate: int, d: int) -> Array:
    """Lemma 11: sum_k beta_k He_k / sqrt(k!) of each neuron, by powers."""
    size = next(s for s in range(3, 99, 2) if s >= max(link.power[0] + 1, link.degree + 2))
    stream, c, found = generator(seed, "init", d, replicate, 2), model["small"], []
    for coin, *drawn in torch.rand(model["width"], size + 1, generator=stream, dtype=torch.float64).tolist():
        signs = [-1 if v < 0.5 else 1 for v in drawn]
        low, high = [signs[0], *(c * v for v in signs[1:])], [*(c * v for v in signs[:-2]), signs[-1], signs[-1]]
        beta = low if coin < 0.5 else high
        scaled = [0.0, *(v / math.sqrt(math.factorial(k)) for k, v in enumerate(beta, 1))]
        found.append(hermite_e.herme2poly(scaled))
    return np.array(found)


def rows_at_start(model: dict[str, Any], theta: Array, seed: int, replicate: int, d: int) -> Array:
    """W_0 [N, d] of unit length."""
    stream = generator(seed, "init", d, replicate, 1)
    rows = []
    for row in torch.randn(model["width"], d, generator=stream, dtype=torch.float64).numpy():
        if model["start"] != "uniform":
            row = row - sum((row @ t) * t for t in theta)
        row = row / np.linalg.norm(row)
        if model["start"] == "barely":
            row = theta[0] / math.sqrt(d) + math.sqrt(1 - 1 / d) * row
        rows.append(row)
    return np.array(rows)
