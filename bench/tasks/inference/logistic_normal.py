r"""Means of log(1 + exp a), of its first and of its second derivative over a ~ N(-u, v), u >= 0, elementwise in batches. Float64.

Relative to the value itself they are exact to 1e-10 for u up to 50 and v from 1e-6 to 1e4, far tails included; for smaller v rounding
leaves 1e-16 / sqrt(v) in the mean of the second derivative. Positive means of a follow by the symmetry a -> -a.

Which way depends on v:

    up to 1/2        a Gauss-Hermite rule; its error is that of the poles of the integrand at +-i pi, as in the next.
    up to 64         trapezoidal rules whose step in a is FINE: errors of about exp(-2 pi^2 / FINE). Their nodes reach one deviation further
                     to the right, as exp(a) moves the mass of a Gaussian so far; their number grows with sqrt(v) and more.
    beyond           polynomials in x = exp(-|a|). On [0, 1] log(1 + x) / x, 1 / (1 + x) and 1 / (1 + x)^2 are polynomials of n terms up to
                     about (3 + sqrt 8)^-n (the pole at x = -1), and means of powers of x over either side of a = 0 have closed forms,
                     all positive:  E[x^k; a < 0] = exp(-u^2 / 2v) erfcx((k v - u) / sqrt(2 v)) / 2,  and with + u for a > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

NODES, NARROW = 20, 0.5  # of the Gauss-Hermite rule, and the largest variance for which it is used
REACH, FINE = 7.5, 0.45  # deviations, and step in a, of the trapezoidal rules
WIDE = 64.0  # the largest variance for which they are used
TERMS = 17  # of the polynomials
CHUNK = 1024  # data of similar variance that share a rule

ByNodes = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def softplus_mean(u: Tensor, v: Tensor) -> Tensor:
    """E log(1 + exp a) for a ~ N(-u, v)."""
    return _means(u, v, _softplus_by_nodes, _softplus_by_powers)[0]


def sigmoid_means(u: Tensor, v: Tensor) -> Tensor:
    """E sigmoid(a) and E sigmoid'(a) for a ~ N(-u, v), [2, ...].

    By nodes the second is E[sigmoid(a) (a + u)] / v (Stein's identity): the exact derivative of the first by the mean, and positive.
    """
    return _means(u, v, _sigmoid_by_nodes, _sigmoid_by_powers)


def _means(u: Tensor, v: Tensor, by_nodes: ByNodes, by_powers: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The means [outputs, ...], each datum by the way that its variance asks for."""
    found, wide = by_nodes(u, v, *gauss_hermite(NODES, u.device)), v > NARROW
    if wide.any():
        u, v = u[wide], v[wide]
        order = v.argsort()
        parts = []
        for index in order.split(CHUNK):
            largest = v[index[-1]].item()
            if largest > WIDE:
                parts.append(by_powers(u[index], v[index]))
            else:
                parts.append(by_nodes(u[index], v[index], *trapezoidal(math.sqrt(largest), u.device)))
        found[:, wide] = torch.cat(parts, 1)[:, order.argsort()]
    return found


@cache
def gauss_hermite(nodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points and weights, [nodes], for the mean over N(0, 1): exact for polynomials up to degree 2 nodes - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    both = torch.from_numpy(np.stack([points, weights / weights.sum()])).to(device)
    return both[0], both[1]


def trapezoidal(deviation: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points and weights for means over N(0, 1) of functions of a, of this deviation."""
    step = FINE / deviation
    below, above = math.ceil(REACH / step), math.ceil((REACH + deviation) / step)
    points = torch.arange(-below, above + 1, dtype=torch.float64, device=device) * step
    return points, torch.exp(-points.square() / 2) * (step / math.sqrt(2 * math.pi))


@cache
def polynomials(terms: int, device: torch.device) -> Tensor:
    """Coefficients by powers of x, constant first, of log(1 + x) / x, 1 / (1 + x), 1 / (1 + x)^2 on [0, 1], [3, terms]."""
    functions = (lambda x: np.log1p(x) / x, lambda x: 1 / (1 + x), lambda x: (1 + x) ** -2.0)
    series = (np.polynomial.Chebyshev.interpolate(f, terms - 1, domain=[0, 1]) for f in functions)
    return torch.from_numpy(np.stack([s.convert(kind=np.polynomial.Polynomial).coef for s in series])).to(device)


def _at(points: Tensor, u: Tensor, deviation: Tensor) -> Tensor:
    """deviation * points - u, [nodes, ...]: one pass over memory, in its order; this is where a step's time goes."""
    return torch.addcmul((-u).contiguous(), deviation.contiguous(), points.reshape(-1, *(1,) * u.dim()))


def _softplus_by_nodes(u: Tensor, v: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    return torch.tensordot(-weights[None], logsigmoid(-_at(points, u, v.sqrt())), 1)


def _sigmoid_by_nodes(u: Tensor, v: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    deviation = v.sqrt()
    first, moment = torch.tensordot(torch.stack([weights, weights * points]), _at(points, u, deviation).sigmoid_(), 1)
    return torch.stack([first, moment / deviation])


def _softplus_by_powers(u: Tensor, v: Tensor) -> Tensor:
    below, above = _powers(u, v)
    deviation = v.sqrt()
    z = u / deviation
    positive = torch.exp(-z.square() / 2) * (1 / math.sqrt(2 * math.pi) - z * _upper(z))  # E[a; a > 0] / deviation
    return torch.tensordot(polynomials(TERMS, u.device)[:1], below + above, 1) + deviation * positive


def _sigmoid_by_powers(u: Tensor, v: Tensor) -> Tensor:
    below, above = _powers(u, v)
    _, of_sigmoid, of_slope = polynomials(TERMS, u.device)
    z = u / v.sqrt()
    positive = torch.exp(-z.square() / 2) * _upper(z)  # P(a > 0)
    return torch.stack([positive + of_sigmoid @ (below - above), of_slope @ (below + above)])


def _upper(z: Tensor) -> Tensor:
    """P(N(0, 1) > z) exp(z^2 / 2)."""
    return torch.special.erfcx(z / math.sqrt(2)) / 2


def _powers(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """E[x^k; a < 0] and E[x^k; a > 0] for k = 1, ..., TERMS, [TERMS, N] each."""
    k = torch.arange(1.0, TERMS + 1, dtype=u.dtype, device=u.device)[:, None]
    root, density = (2 * v).sqrt(), torch.exp(-u.square() / (2 * v)) / 2
    below, rest = (k * v - u) / root, k * (k * v / 2 - u)
    tail = density * torch.special.erfcx(below.abs())
    inside = torch.where(below < 0, rest, 0.0).exp() - tail
    return torch.where(below < 0, inside, tail), density * torch.special.erfcx((k * v + u) / root)
