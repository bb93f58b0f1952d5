"""Anticor with one and two layers, an expert and a pair of assets at a time (Borodin, El-Yaniv & Gogan, 2004)."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
TIE = 1e-12  # means, deviations and correlations that differ by less are equal


def anticor(x: Array, longest: int, layers: int) -> Array:
    """Weights of each period [T, m]."""
    windows = range(2, longest + 1)
    inner = [expert(x, w, from_drifted=layers == 2) for w in windows]
    growth = [[float(b @ row) for b, row in zip(path, x)] for path in inner]
    if layers == 1:
        return bought_and_held(inner, growth)
    table = np.array(growth).T  # [T, n]: the experts as if they were assets
    outer = [expert(table, w, from_drifted=True) for w in windows]
    shares = bought_and_held(outer, [[float(b @ row) for b, row in zip(path, table)] for path in outer])
    return np.array([sum(s * path[t] for s, path in zip(share, inner)) for t, share in enumerate(shares)])


def bought_and_held(paths: list[Array], growth: list[list[float]]) -> Array:
    """Of equal capital in each expert, left to grow."""
    wealth, rows = np.full(len(paths), 1 / len(paths)), []
    for t in range(len(paths[0])):
        rows.append(sum(s * path[t] for s, path in zip(wealth, paths)) / wealth.sum())
        wealth = wealth * [g[t] for g in growth]
    return np.array(rows)


def expert(x: Array, w: int, from_drifted: bool) -> Array:
    """One window's weights [T, m]; `from_drifted`: a day's transfers start from what the weights have become."""
    m = x.shape[1]
    b, rows = np.full(m, 1 / m), []
    for t in range(len(x)):
        rows.append(b)
        if from_drifted:
            b = b * x[t] / (b @ x[t])
        if t + 1 >= 2 * w:
            b = after_claims(b, np.log(x[t + 1 - 2 * w : t + 1 - w]), np.log(x[t + 1 - w : t + 1]))
    return np.array(rows)


def after_claims(b: Array, first: Array, second: Array) -> Array:
    """Each asset hands its wealth to those that it owes, in proportion to the claims."""
    m = len(b)
    cor = np.array([[correlation(first[:, i], second[:, j]) for j in range(m)] for i in range(m)])
    mean, new = second.mean(0), b.copy()
    for i in range(m):
        claims = np.zeros(m)
        for j in range(m):
            if mean[i] >= mean[j] - TIE and cor[i, j] > TIE:
                claims[j] = cor[i, j] + max(0.0, -cor[i, i]) + max(0.0, -cor[j, j])
        if claims.sum() > 0:
            new = new + b[i] * claims / claims.sum()
            new[i] -= b[i]
    return new


def correlation(u: Array, v: Array) -> float:
    u, v = u - u.mean(), v - v.mean()
    sizes = np.sqrt(u @ u), np.sqrt(v @ v)
    return float(u @ v / sizes[0] / sizes[1]) if min(sizes) > TIE else 0.0
