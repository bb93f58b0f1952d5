"""Training of first layers on batches as large as the sample: gradient descent on one set of n samples, or large fresh batches.

Shapes: G settings, C paths of one dimension d, N neurons, n samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.tasks.feature_learning.protocol import Batch, Method


def step(method: Method, w: Tensor, x: Tensor, y: Tensor, r: Tensor, progress: Tensor) -> Tensor:
    """W [G, C, N, d] after one step on all samples x [C, n, d] with labels y [C, 1, n] and squared norms r [C, 1, n].

    Only methods that look at each sample by itself get this far (`inner` would need X X^T).
    """
    h = w @ x.mT
    alpha, beta = method.move(Batch(h, y, r, lambda b: (b @ x) @ x.mT, progress))
    alpha = method.tangent(beta, h) if alpha is None else alpha
    new = alpha * w + beta @ x
    return torch.nn.functional.normalize(new, dim=-1) if method.sphere else new
