"""Training of first layers on fresh samples, exactly and without a pass over W at each step.

A step moves w_j to alpha_j w_j + sum_b beta_jb x_b, where alpha and beta depend on W through h = W x alone. So over a block of L samples it is
enough to keep, for each neuron, its inner products with the samples still to come, those with the directions of the target, and its
coefficients of W at the block's start and of the samples used: L + 1 + k numbers instead of d. All of them are inner products, of w or of unit
coordinates, and obey one update; W is put together at the block's end. Memory is that of a block, whatever the number of samples.

Shapes: G settings, C paths (of all dimensions side by side, x padded with zeros), N neurons, L samples, B of them a step, k directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.tasks.feature_learning.protocol import Batch, Method


@dataclass
class Trace:
    """What happened in a block: M = W theta^T after each step [S, G, C, N, k], and ||w||^2 [S, G, C, N] (None on the sphere, where it is 1)."""

    overlaps: Tensor
    squares: Tensor | None

    def cosines(self) -> Tensor:
        """<w, theta> / ||w||, of the shape of `overlaps`; 0 where w is 0."""
        if self.squares is None:
            return self.overlaps
        return self.overlaps / self.squares.clamp(min=1e-300).sqrt()[..., None]


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU one thread: the steps are many and small, and a second thread makes them several times slower."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def advance(method: Method, w: Tensor, theta: Tensor, x: Tensor, y: Tensor, progress: Tensor) -> tuple[Tensor, Trace]:
    """Steps of the method over the samples x [C, L, d] with labels y [C, L], in their order.

    Args:
        w: rows [G, C, N, d] at the start; on the sphere of unit norm.
        theta: directions [C, k, d].
        progress: t / T at each step, [S, C, 1, 1] with S = L / B.

    Returns:
        The rows after the last step, and what happened between.
    """
    block = _Block(method, w, theta, x.flip(1), y.flip(1))
    trace = [block.step(s, progress[s]) for s in range(block.steps)]
    overlaps = torch.stack([m for m, _ in trace])
    squares = None if method.sphere else torch.stack([q for _, q in trace])  # type: ignore[misc]
    return block.rows(w), Trace(overlaps, squares)


class _Block:
    """Columns of the table, for each neuron: L coefficients of samples | the one of W at the start | M | L inner products with samples.

    Samples stand in reverse order, so that what a step changes (coefficients of samples used, M, inner products with samples to come) is one
    window of L + 1 + k columns, which moves left.
    """

    def __init__(self, method: Method, w: Tensor, theta: Tensor, x: Tensor, y: Tensor) -> None:
        (paths, length, _), k = x.shape, theta.shape[1]
        self.method, self.x, self.length, self.k = method, x, length, k
        self.size = method.batch_size or length
        self.steps = length // self.size
        gram = x @ x.mT
        self.y, self.gram = y[:, None], gram
        self.r = gram.diagonal(dim1=-2, dim2=-1)[:, None]  # [C, 1, L]
        unit = torch.eye(length, dtype=x.dtype, device=x.device).expand(paths, length, length)
        self.sources = torch.cat([unit, x.new_zeros(paths, length, 1), x @ theta.mT, gram], -1)  # [C, L, 2 L + 1 + k]
        self.offset = length + 1 + k  # where inner products with samples start
        start = [w.new_zeros(*w.shape[:-1], length), w.new_ones(*w.shape[:-1], 1), _products(w, theta), _products(w, x)]
        self.table = torch.cat(start, -1)
        self.square = None if method.sphere else w.square().sum(-1)

    def step(self, s: int, progress: Tensor) -> tuple[Tensor, Tensor | None]:
        """M and ||w||^2 after step s."""
        low, high = self.length - (s + 1) * self.size, self.length - s * self.size
        h = self.table[..., self.offset + low : self.offset + high]
        batch = Batch(h, self.y[..., low:high], self.r[..., low:high], self._inner(low, high), progress)
        alpha, beta = self.method.move(batch)
        window = self.table[..., low : self.offset + low]
        if self.method.sphere:
            alpha, beta = self._projected(alpha, beta, batch)
            window.mul_(alpha)
        else:
            change = (beta * (2 * (h if alpha is None else alpha * h) + batch.inner(beta))).sum(-1)
            self.square = (self.square if alpha is None else alpha[..., 0] ** 2 * self.square) + change  # type: ignore[operator]
            if alpha is not None:
                window.mul_(alpha)
        sources = self.sources[:, low:high, low : self.offset + low]
        if self.size == 1:
            window.addcmul_(beta, sources)
        else:
            window.add_(beta @ sources)
        return self.table[..., self.length + 1 : self.offset].clone(), self.square

    def _projected(self, alpha: Tensor | None, beta: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """alpha and beta divided by the norm of alpha w + sum_b beta_b x_b, ||w|| = 1."""
        along = beta * batch.h
        if alpha is None and self.size == 1:  # 1 + beta^2 (r - h^2)
            square = torch.addcmul(1 - along * along, beta * beta, batch.r)
            alpha = 1 - along
        else:
            alpha = 1 - along.sum(-1, keepdim=True) if alpha is None else alpha
            square = alpha * alpha + (2 * alpha * along + beta * batch.inner(beta)).sum(-1, keepdim=True)
        norm = square.rsqrt()
        return alpha * norm, beta * norm

    def _inner(self, low: int, high: int) -> Callable[[Tensor], Tensor]:
        """beta -> beta X X^T of the samples low, ..., high - 1."""
        if self.size == 1:
            r = self.r[..., low:high]
            return lambda beta: beta * r
        gram = self.gram[:, low:high, low:high]
        return lambda beta: beta @ gram

    def rows(self, w: Tensor) -> Tensor:
        """W after the block, of unit norm on the sphere, where rounding would let it drift."""
        sums = torch.einsum("gcnl,cld->gcnd", self.table[..., : self.length], self.x)
        new = torch.addcmul(sums, self.table[..., self.length : self.length + 1], w)
        return torch.nn.functional.normalize(new, dim=-1) if self.method.sphere else new


def _products(w: Tensor, x: Tensor) -> Tensor:
    """Inner products [G, C, N, L] of w [G, C, N, d] and x [C, L, d]; a product of matrices a path, settings and neurons its rows."""
    return torch.einsum("gcnd,cld->gcnl", w, x)
