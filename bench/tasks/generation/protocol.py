"""What a method that generates images under differential privacy is. Shapes: N private examples, B in a batch, p trainable numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from bench.tasks.generation.pair import Pair

if TYPE_CHECKING:
    from bench.tasks.generation.diffusion import Schedule
    from bench.tasks.generation.ledger import Ledger


@dataclass(frozen=True)
class Problem:
    """What a method sees: the public images, the private examples, and the one way in which it may touch the latter.

    Attributes:
        pair: on the device; of its held-out images there are none here (they are the private ones' first, once more): metrics alone see them.
        x: the private examples, float32 [N, ...]: pixels from -1 to 1 [N, C, S, S], or the latents of an autoencoder that saw public images.
        y: their labels, int64 [N]; zeros where there are none.
        denoiser: the method's own copy of the network, in evaluation mode: trained on public images where the method is `pretrained`, else as
            it starts. It has max(public_classes, num_classes) classes, or none where the pair is not conditional.
        features: frozen network of a classifier of public images, not the one that samples are measured by: float32 [n, C, S, S] in [-1, 1] to
            [n, d], differentiable; None where the method does not ask for it (`wants_features`).
        decode: from the space of x to images float32 [n, C, S, S] in [-1, 1]; differentiable.
        schedule: of the noise.
        ledger: (rate=, noise_multiplier=, clip=, steps=, delta=, target_epsilon=, secure=, accountant=) to the run's Ledger, whose batches and
            noise are the only ones that a private method draws. Called in `begin`, at most once. A method that never calls it states no epsilon.
        seed: of whatever else the method draws, by named streams (bench.seeding).
        device: of all tensors.
    """

    pair: Pair
    x: Tensor
    y: Tensor
    denoiser: nn.Module
    features: nn.Module | None
    decode: Callable[[Tensor], Tensor]
    schedule: Schedule
    ledger: Callable[..., Ledger]
    seed: int
    device: torch.device


class Method(Protocol):
    """Learns from the private examples in steps, between which a run can be stopped and resumed. The task samples, measures and states epsilon.

    A method may also have `notice`, a line for a person, `wants_features = True`, and, if it has no denoiser, `sample(y [n], generator) -> [n, ...]`,
    images in the space of x.
    """

    pretrained: bool
    trainable_parameters: int  # p, after `begin`

    def begin(self, problem: Problem) -> int:
        """Before the first step, of a fresh run and of a resumed one alike: the number of steps; 0: nothing private is learnt.

        Raises:
            ValueError, UserError: "key = value: ...", a key that does not fit the problem.
        """

    def advance(self, step: int) -> dict[str, float]:
        """One step; they come in order, 0, 1, ... What it returns is logged, so it may tell nothing of private data that was not released with noise.

        `gradient_evaluations`, of examples times noise draws, is counted and not logged; of a private method those that are expected.
        """

    def network(self) -> nn.Module | None:
        """What denoises after the steps so far, (x, t, y) to the noise, in evaluation mode; None: the method has `sample`."""

    def state_dict(self) -> dict[str, Any]:
        """What the steps so far have changed; what `begin` computes is no part of it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, after `begin`."""
