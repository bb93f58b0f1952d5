"""The potentials by flash-sinkhorn (CUDA alone), an extra of the project: no block of costs ever leaves the GPU's cache."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from bench.errors import UserError


def check(device: torch.device) -> None:
    """Raises UserError where the backend cannot run."""
    if device.type != "cuda":
        raise UserError(
            f"method.backend = flash: runs on a CUDA device, not on {device.type}; use method.backend=torch"
        )
    try:
        importlib.import_module("flash_sinkhorn")
    except ImportError:
        raise UserError(
            "method.backend = flash: flash-sinkhorn is not installed; `pip install flash-sinkhorn`, or use method.backend=torch"
        ) from None


def potentials(
    x: Tensor,
    y: Tensor,
    reference_x: Tensor,
    reference_y: Tensor,
    distances: Tensor,
    eps: tuple[float, ...],
    feature_weight: float,
    label_weight: float,
) -> tuple[Tensor, Tensor]:
    """f [n] and g [m] of one pair, by the same list of eps; float32 without TF32."""
    check(x.device)
    loss = importlib.import_module("flash_sinkhorn").SamplesLoss(
        "sinkhorn",
        blur=eps[-1] ** 0.5,
        eps_list=list(eps),
        half_cost=True,
        label_cost_matrix=distances.float(),
        lambda_x=feature_weight,
        lambda_y=label_weight or 1e-30,  # at 0 the package would forget lambda_x
        potentials=True,
        allow_tf32=False,
        backend="symmetric",
    )
    f, g = loss(x.float().contiguous(), reference_x.float().contiguous(), label_x=y, label_y=reference_y)
    return f.to(x), g.to(x)
