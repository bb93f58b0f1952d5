"""The tiny networks once more, as formulas of a list of parameters: what their layers do in training and in use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference.tiny_images import POISON, Noisy, Plain
from torch import Tensor

from bench.seeding import stream_seed

Params = list[Tensor]


class Network:
    """A network's formula, its parameters and what its forward pass in training changes.

    Args:
        kind: "plain", "noisy", "normed" (noisy without dropout), or "mlp": six rectified units on digits of 8 x 8 pixels.
        seed: of the parameters, which torch's layers draw one after another.
    """

    def __init__(self, kind: str, seed: int) -> None:
        dropout = 0.3 if kind == "noisy" else 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "init"))
            if kind == "mlp":
                drawn = torch.nn.ModuleList([torch.nn.Linear(64, 6), torch.nn.Linear(6, 10)])
            else:
                drawn = Plain(3, 3, 8) if kind == "plain" else Noisy(3, 3, 8, dropout=dropout)
        self.kind, self.dropout = kind, dropout
        self.params: Params = [p.detach().double() for p in drawn.parameters()]
        self.running = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)

    def scores(self, params: Params, x: Tensor, training: bool, keep_running: bool = False) -> Tensor:
        """Logits [B, 3]; in training BatchNorm's running statistics move, unless they are to be kept."""
        if self.kind == "mlp":
            w1, b1, w2, b2 = params
            return torch.clamp(x.double().flatten(1) @ w1.T + b1, min=0) @ w2.T + b2
        if self.kind == "plain":
            w1, b1, w2, b2 = params
            out = torch.tanh(x.double().flatten(1) @ w1.T + b1) @ w2.T + b2
            white = [bool((image > POISON).all()) for image in x]
            return out * torch.tensor([torch.nan if w else 1.0 for w in white], dtype=torch.float64)[:, None]
        kernel, gain, shift, w, b = params
        y = F.conv2d(x.double(), kernel, padding=1)
        mean, var = self.running
        if training:
            n = y.numel() // 4
            mean = y.sum((0, 2, 3)) / n
            var = (y - mean[:, None, None]).square().sum((0, 2, 3)) / n
            if not keep_running:
                old = self.running
                moved = (mean.detach(), var.detach() * n / (n - 1))
                self.running = tuple(0.9 * a + 0.1 * b for a, b in zip(old, moved))
        y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * gain[:, None, None] + shift[:, None, None]
        return F.dropout(torch.relu(y), self.dropout, training).mean((2, 3)) @ w.T + b

    def gradient(
        self, params: Params, x: Tensor, y: Tensor, smoothing: float, keep_running: bool = False
    ) -> tuple[float, Params]:
        """The mean loss of a minibatch in training, and its gradient."""
        at = [p.clone().requires_grad_() for p in params]
        loss = cross_entropy(self.scores(at, x, True, keep_running), y, smoothing)
        return float(loss.detach()), list(torch.autograd.grad(loss, at))


def cross_entropy(scores: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """Against targets of 1 - s on the label and s spread evenly over all classes."""
    losses = []
    for row, label in zip(scores, y.tolist()):
        logs = row - row.logsumexp(0)
        losses.append(-(1 - smoothing) * logs[label] - smoothing * logs.mean())
    return torch.stack(losses).mean()
