r"""The private step: clipped, summed, noised once, divided by the batch that was expected.

    g = 1 / (q N) ( sum_{i in I} g_i min(1, C / ||g_i||) + sigma C xi ),        xi ~ N(0, I)

g_i is the gradient of example i by all trained parameters together, and ||.|| the norm of all of it (flat clipping), so that adding or removing
an example moves the sum by at most C. An empty batch gives noise alone. Abadi et al., 2016, Algorithm 1, for Poisson batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from bench.tasks.generation.ledger import Ledger, Refused


def norms(gradients: Sequence[Tensor]) -> Tensor:
    """[B], of each example over all parameters, from [B, *shape] of each."""
    return torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]).norm(dim=0)


def clipped_sum(gradients: Sequence[Tensor], clip: float) -> list[Tensor]:
    """sum_i g_i min(1, C / ||g_i||) in the parameters' shapes, from [B, *shape] of each.

    An example whose gradient is not finite counts as 0, so that nothing shows in the sum beyond C.
    """
    size = norms(gradients)
    if not bool(size.isfinite().all()):
        gradients = [g.where(size.isfinite().view(-1, *[1] * (g.ndim - 1)), 0) for g in gradients]
    factor = (clip / size).clamp(max=1).where(size.isfinite(), 0)
    return [(factor @ g.flatten(1)).view(g.shape[1:]) for g in gradients]


def private_gradient(
    parts: Iterable[tuple[Tensor, Sequence[Tensor]]], like: Sequence[Tensor], ledger: Ledger, step: int
) -> list[Tensor]:
    """The released gradient, in the shapes of `like`.

    Args:
        parts: of the step's batch, one physical batch after another: indices [b] of its examples and their gradients [b, *shape].
        like: the trained parameters.
        ledger: whose batch it is, with C, sigma and q N.

    Raises:
        Refused: gradients are not one an example, or as `Ledger.noise`.
    """
    sums, rows = [torch.zeros_like(one) for one in like], []
    for indices, gradients in parts:
        if any(len(g) != len(indices) for g in gradients):
            raise Refused(
                f"step {step}: {len(gradients[0])} gradients of {len(indices)} examples; one each, copies averaged"
            )
        for total, part in zip(sums, clipped_sum(gradients, ledger.clip)):
            total += part
        rows.append(indices.cpu())
    used = torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64)
    return averaged(sums, ledger.noise(step, sums, used), ledger)


def averaged(sums: Sequence[Tensor], noise: Sequence[Tensor], ledger: Ledger) -> list[Tensor]:
    """(sum + noise) / (q N)."""
    return [(total + xi) / ledger.expected_batch for total, xi in zip(sums, noise)]
