"""Interpolations of pairs: x~_k = lambda_k x_i + (1 - lambda_k) x_pi(i), labels alike, k = 1..K, one permutation pi for all K.

Rows of a result go through the pairs first: row k B + i is interpolation k of pair i. K = 1 is mixup.

References: Zhang et al., 2018, arXiv 1710.09412 (mixup); Shen et al., 2024, arXiv 2406.01417 (several interpolations of a pair).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MOST = 1000  # interpolations of a pair
EXTREME = 1e300  # of alpha, and one over it


def check_law(k: int, alpha: float) -> None:
    """ValueError where there are no k interpolations, or no Beta(alpha, alpha) in double precision."""
    if not 1 <= k <= MOST:
        raise ValueError(f"k = {k}: from 1 to {MOST} interpolations of a pair")
    if not 1 / EXTREME <= alpha <= EXTREME:
        raise ValueError(f"alpha = {alpha}: a number from {1 / EXTREME:g} to {EXTREME:g}")


def check_batch(x: Tensor, y: Tensor) -> None:
    """ValueError where images and labels are not as many."""
    if len(x) != len(y):
        raise ValueError(f"x of {len(x)} and y of {len(y)}: one label, or row of probabilities, for each image")


def draw_weights(
    pairs: int,
    k: int = 1,
    alpha: float = 1.0,
    *,
    shared: bool = False,
    stratified: bool = False,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """lambda ~ Beta(alpha, alpha), float64 [k, pairs].

    Args:
        shared: one lambda_k for all pairs.
        stratified: lambda_k out of the k-th of k equally likely intervals; each alone has the law Beta(alpha, alpha) mixed over k.
    """
    check_law(k, alpha)
    columns = 1 if shared else pairs
    if alpha == 1 or stratified:
        weights = torch.rand(k, columns, generator=generator, device=device, dtype=torch.float64)
    else:
        weights = beta((k, columns), alpha, generator, device)
    if stratified:
        weights = (torch.arange(k, device=device, dtype=torch.float64)[:, None] + weights) / k
        weights = weights if alpha == 1 else _beta_quantile(weights, alpha)
    return weights.expand(k, pairs)


def beta(
    shape: tuple[int, ...], alpha: float, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Beta(alpha, alpha), float64: G / (G + G') of two Gamma(alpha). Logarithms keep a small alpha from 0 / 0: log G(alpha) is
    log G(alpha + 1) + log(U) / alpha."""
    both = torch.full((2, *shape), alpha + 1, device=device, dtype=torch.float64)
    logs = torch._standard_gamma(both, generator).log()
    logs += torch.rand(both.shape, generator=generator, device=device, dtype=torch.float64).log() / alpha
    return torch.sigmoid(logs[0] - logs[1])


def _beta_quantile(u: Tensor, alpha: float) -> Tensor:
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, u.cpu().numpy())).to(u.device)


def draw_order(pairs: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Tensor:
    """pi [pairs], uniform."""
    return torch.randperm(pairs, generator=generator, device=device)


def one_hot(y: Tensor, num_classes: int | None = None) -> Tensor:
    """Labels [B] as rows [B, C]; rows of probabilities stay as they are.

    Raises:
        ValueError: labels without their number of classes; neither labels nor rows of probabilities.
    """
    if y.dim() not in (1, 2) or (y.dim() == 2 and y.shape[1] < 2):
        raise ValueError(f"y of shape {list(y.shape)}: labels [B], or probabilities [B, C] of two classes or more")
    if y.dim() == 2:
        return y if y.is_floating_point() else y.float()
    if y.is_floating_point():
        raise ValueError(f"y of {y.dtype}: labels [B] are integers")
    if num_classes is None:
        raise ValueError("num_classes: needed where y holds labels [B] and no rows of probabilities [B, C]")
    return F.one_hot(y.long(), num_classes).float()


def mix(x: Tensor, order: Tensor, weights: Tensor) -> Tensor:
    """x [B, ...] mixed with x[order] by weights [k, B] of the first: [k B, ...]; half precision goes through float32, lest lambda is rounded."""
    if not x.is_floating_point():
        raise ValueError(f"x of {x.dtype}: floating point numbers; divide images by 255 first")
    shape = (*weights.shape, *(1,) * (x.dim() - 1))
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    own, other = (w.to(exact.dtype).reshape(shape) for w in (weights, 1 - weights))
    return torch.mul(exact[order], other).add_(exact * own).flatten(0, 1).to(x.dtype)


def multimix(
    x: Tensor,
    y: Tensor,
    k: int = 5,
    alpha: float = 1.0,
    *,
    num_classes: int | None = None,
    shared_lambda: bool = False,
    stratified: bool = False,
    weights: float | Sequence[float] | Tensor | None = None,
    order: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """k interpolations of each pair of a batch.

    Args:
        x: [B, ...], floating point.
        y: probabilities [B, C], or labels [B] with `num_classes`.
        k, alpha, shared_lambda, stratified: how lambda is drawn, as draw_weights.
        weights: lambda itself, from 0 to 1, of shape [k, B], [k] or [], in place of what would be drawn.
        order: pi [B] in place of what would be drawn.
    Returns:
        x~ [k B, ...] and y~ [k B, C].
    Raises:
        ValueError: shapes that do not fit, a lambda outside [0, 1], a k or alpha without a law.
    """
    check_batch(x, y)
    n, device = len(x), x.device
    order = draw_order(n, generator, device) if order is None else order
    if weights is None:
        keys = {"shared": shared_lambda, "stratified": stratified, "generator": generator, "device": device}
        weights = draw_weights(n, k, alpha, **keys)  # type: ignore[arg-type]
    else:
        weights = given_weights(weights, n, device)
    return mix(x, order, weights), mix(one_hot(y, num_classes), order, weights)


def given_weights(weights: float | Sequence[float] | Tensor, pairs: int, device: torch.device) -> Tensor:
    """lambda of shape [], [k] or [k, pairs] as float64 [k, pairs]; ValueError for other shapes, and for numbers outside [0, 1]."""
    found = torch.as_tensor(weights, dtype=torch.float64, device=device)
    found = found.reshape(-1, 1) if found.dim() < 2 else found
    if found.dim() != 2 or not found.numel() or found.shape[1] not in (1, pairs):
        raise ValueError(f"weights of shape {list(found.shape)}: [], [k] or [k, {pairs}]")
    if not bool(((found >= 0) & (found <= 1)).all()):
        raise ValueError("weights: shares from 0 to 1")
    return found.expand(len(found), pairs)


def mixup(x: Tensor, y: Tensor, alpha: float = 1.0, **keys: object) -> tuple[Tensor, Tensor]:
    """One interpolation a pair: multimix with k = 1."""
    return multimix(x, y, 1, alpha, **keys)  # type: ignore[arg-type]
