"""Step-size schedules, put together from torch's own schedulers."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

from bench.errors import UserError
from bench.types import NonNegativeFloat, PositiveFloat


def _after_warmup(optimizer: Optimizer, main: LRScheduler, warmup: int) -> LRScheduler:
    if warmup == 0:
        return main
    rise = LinearLR(optimizer, start_factor=0.01, total_iters=warmup)
    return SequentialLR(optimizer, [rise, main], milestones=[warmup])


def constant(optimizer: Optimizer, total: int, epoch: int, *, warmup_epochs: NonNegativeFloat = 0.0) -> LRScheduler:
    """lr at every step. `total` and `epoch` are numbers of steps in the run and in one epoch."""
    return _after_warmup(optimizer, LambdaLR(optimizer, lambda step: 1.0), round(warmup_epochs * epoch))


def cosine(optimizer: Optimizer, total: int, epoch: int, *, warmup_epochs: NonNegativeFloat = 0.0) -> LRScheduler:
    """lr (1 + cos(pi t / T)) / 2 over the T steps after warm-up."""
    warmup = round(warmup_epochs * epoch)
    return _after_warmup(optimizer, CosineAnnealingLR(optimizer, T_max=max(1, total - warmup)), warmup)


def steps(
    optimizer: Optimizer,
    total: int,
    epoch: int,
    *,
    milestones: list[PositiveFloat],
    gamma: PositiveFloat = 0.1,
    warmup_epochs: NonNegativeFloat = 0.0,
) -> LRScheduler:
    """lr times gamma^(number of milestones passed); milestones are fractions of the run."""
    if milestones != sorted(milestones) or max(milestones, default=0) >= 1:
        raise UserError(f"schedule.milestones = {milestones}: rising fractions of the run, each below 1")
    warmup = round(warmup_epochs * epoch)
    at = [max(1, round(m * total) - warmup) for m in milestones]
    return _after_warmup(optimizer, MultiStepLR(optimizer, milestones=at, gamma=gamma), warmup)


def theory(optimizer: Optimizer, total: int, epoch: int, *, warmup_epochs: NonNegativeFloat = 0.0) -> LRScheduler:
    """lr times the factor of the method's theorem (its `theory(horizon, dim, num_components)`), which also sets beta."""
    settings = getattr(type(optimizer), "theory", None)
    if settings is None:
        raise UserError(f"schedule=theory: {type(optimizer).__name__} states no theory; use schedule=constant")
    for group in optimizer.param_groups:
        dim = sum(p.numel() for p in group["params"])
        apply_theory(group, settings(total, dim, epoch))
    return constant(optimizer, total, epoch, warmup_epochs=warmup_epochs)


def apply_theory(group: dict, values: dict[str, float]) -> None:
    """Multiply the group's lr by the theory's factor and set the group's other hyper-parameters that the theory fixes."""
    group["lr"] *= values["lr"]
    if "initial_lr" in group:
        group["initial_lr"] = group["lr"]
    group.update({name: value for name, value in values.items() if name in group and name != "lr"})
