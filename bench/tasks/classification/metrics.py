"""Metrics of classifiers, as sums over batches that stay on the device until read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class ClassifierMetrics:
    """Accuracy, negative log likelihood (nats) and expected calibration error, accumulated batch by batch.

    ECE (Guo et al., 2017, eq. 3): sum over equal-width confidence bins of (share of examples) |accuracy - mean confidence|.
    """

    def __init__(self, device: torch.device, bins: int = 15) -> None:
        self._bins = bins
        self._sums = torch.zeros(3, bins, dtype=torch.float64, device=device)  # count, correct, confidence
        self._nll = torch.zeros((), dtype=torch.float64, device=device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """logits [B, K], labels [B]."""
        log_p = F.log_softmax(logits.double(), dim=1)
        confidence, predicted = log_p.max(dim=1)
        confidence = confidence.exp()
        bin_of = (confidence * self._bins).ceil().long().clamp_(1, self._bins) - 1  # bins (k/n, (k+1)/n]
        rows = torch.stack([torch.ones_like(confidence), (predicted == labels).double(), confidence])
        self._sums.index_add_(1, bin_of, rows)
        self._nll += F.nll_loss(log_p, labels, reduction="sum")

    def read(self, prefix: str) -> dict[str, float]:
        """`{prefix}_accuracy` (share), `{prefix}_nll` (nats), `{prefix}_ece` (share); waits for the device."""
        count, correct, confidence = self._sums
        n = count.sum()
        values = torch.stack([correct.sum() / n, self._nll / n, (correct - confidence).abs().sum() / n]).tolist()
        return {f"{prefix}_accuracy": values[0], f"{prefix}_nll": values[1], f"{prefix}_ece": values[2]}
