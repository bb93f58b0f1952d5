"""AugMix: images mixed with chains of operations on themselves, and predictions held together by the Jensen-Shannon divergence.

    x~ = m x + (1 - m) sum_i w_i chain_i(x),   w ~ Dirichlet(1, ..., 1), m ~ Beta(1, 1), chain_i: 1 to 3 operations of random strength
    loss = CE(x) + 12 JS(p(x), p(x~1), p(x~2))

Reference: Hendrycks et al., 2020, arXiv 1912.02781, and its cifar.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from methods.mixing.composed import Composed, Criterion, Network, Parts, need_images
from methods.mixing.operations import COLOUR, LEVELS, OPERATIONS
from methods.mixing.pairs import beta

if TYPE_CHECKING:
    from bench.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Severity


def js_divergence(logits: list[Tensor]) -> Tensor:
    """Mean over rows of (1 / n) sum_i KL(p_i, mean of p), in nats; n tensors [B, C]."""
    logs = torch.stack([one.float().log_softmax(1) for one in logits])
    p = logs.exp()
    middle = p.mean(0).clamp(1e-7, 1.0).log()
    return (p * (logs - middle)).sum(2).mean()


def chain(x: Tensor, depths: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Images uint8 [B, C, H, W] after depths [B] operations each; of strength uniform in 0.1 to `severity`, signs random."""
    device = x.device
    for turn in range(int(depths.max())):
        which = torch.randint(len(OPERATIONS), (len(x),), generator=generator, device=device)
        strength = torch.rand(len(x), generator=generator, device=device, dtype=torch.float64)
        strength = 0.1 + (severity - 0.1) * strength
        sign = 1 - 2 * torch.randint(2, (len(x),), generator=generator, device=device)
        x = x.clone()
        for number, operation in enumerate(OPERATIONS):
            chosen = ((which == number) & (depths > turn)).nonzero().flatten()
            if len(chosen):
                level = strength[chosen]
                if operation not in COLOUR:
                    level = level * sign[chosen]
                x[chosen] = operation(x[chosen], level)
    return x


def augmix(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    *,
    chains: int = 3,
    depth: int = 0,
    severity: float = 3.0,
    alpha: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mixed images of normalised ones.

    Args:
        x: (image / 255 - mean) / std, [B, C, H, W].
        chains, depth: chains an image, and operations in each; depth 0: 1 to 3.
        severity: the largest strength, of 10.
        alpha: of both laws of weights.
    """
    generator = generator or torch.Generator(x.device).manual_seed(torch.seed())
    n, device = len(x), x.device
    images = ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    shares = torch._sample_dirichlet(torch.full((n, chains), alpha, device=device, dtype=torch.float64), generator)
    kept = beta((n,), alpha, generator, device)
    mixed = torch.zeros_like(x)
    for i in range(chains):
        depths = (
            torch.randint(1, 4, (n,), generator=generator, device=device) if depth == 0 else torch.full((n,), depth)
        )
        found = chain(images, depths.to(device), severity, generator)
        mixed += shares[:, i].to(x.dtype).view(-1, 1, 1, 1) * ((found.to(x.dtype) / 255 - mean) / std)
    kept = kept.to(x.dtype).view(-1, 1, 1, 1)
    return kept * x + (1 - kept) * mixed


class AugMix(Composed):
    """Three versions of each image in one pass: as it is, and two mixed ones; three gradients an image.

    Args: as Composed's (`mean` and `std` are needed), and
        chains, depth, severity, alpha: as augmix's.
        consistency: weight of the divergence; 0: the first mixed version alone is trained on.
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *,
        chains: PositiveInt = 3,
        depth: NonNegativeInt = 0,
        severity: Severity = 3.0,
        alpha: PositiveFloat = 1.0,
        consistency: NonNegativeFloat = 12.0,
        **shared: Any,
    ) -> None:  # fmt: skip
        if not 0.1 <= severity <= LEVELS:
            raise ValueError(f"severity = {severity}: a number from 0.1 to {LEVELS}")
        self.keys = {"chains": chains, "depth": depth, "severity": severity, "alpha": alpha}
        self.consistency = consistency
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """One part."""
        need_images(x, "AugMix")
        n, criterion = len(y), self._criterion(loss)
        versions = [augmix(x, self.mean, self.std, generator=generator, **self.keys) for _ in range(2)]  # type: ignore[arg-type]
        seen = [x, *versions] if self.consistency else versions[:1]
        logits = network(torch.cat(seen)).chunk(len(seen))
        targets = nn.functional.one_hot(y, logits[0].shape[1]).float() if self.loss == "bce" else y
        total = criterion(logits[0], targets)
        if self.consistency:
            total = total + self.consistency * js_divergence(list(logits))
        yield total, n * len(seen)
