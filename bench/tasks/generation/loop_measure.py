"""What samples and a trained network come to: every metric of a run. Nothing here reaches back into what is trained.

Samples are compared with the private images (what was to be learnt), classifiers are tested on held-out ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.generation.canary import Canaries, audit
from bench.tasks.generation.coverage import density_coverage, precision_recall
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.downstream import downstream
from bench.tasks.generation.features import Extractor, InceptionFeatures, label
from bench.tasks.generation.fitting import Fitting
from bench.tasks.generation.frechet import frechet_of
from bench.tasks.generation.membership import loss_attack
from bench.tasks.generation.pair import Pair

LOSSES, CHOICE = 86, 87  # streams
ROWS = 2048  # of a network at a time, where nothing is trained


class Yardstick:
    """Losses under draws of time and noise that are the same for every image, every method and every moment of a run.

    Args:
        like: [C, S, S] of what is denoised.
        draws: K.
    """

    def __init__(self, schedule: Schedule, like: Tensor, draws: int, seed: int) -> None:
        stream = generator(seed, "noise", LOSSES)
        self.schedule = schedule
        self.t = schedule.draw_times((1, draws), stream).to(like.device)  # [1, K]
        self.noise = torch.randn(1, draws, *like.shape, generator=stream).to(like.device)

    @torch.no_grad()
    def losses(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """[n] of x [n, C, S, S] with classes y [n]."""
        draws = self.t.shape[1]
        parts = []
        for some, classes in zip(x.split(max(1, ROWS // draws)), y.split(max(1, ROWS // draws))):
            t = self.t.expand(len(some), -1)
            noise = self.noise.expand(len(some), *self.noise.shape[1:])
            parts.append(self.schedule.loss_per_example(network, some, classes, t, noise))
        return torch.cat(parts)


def fidelity(session: Session, pair: Pair, samples: Tensor, own: Extractor, inception: bool) -> dict[str, float]:
    """`frechet`, precision, recall, density and coverage in the features of the public classifier, `frechet_inception` where it is asked for."""
    real, fake = own(pair.private_x), own(samples)
    found = {"frechet": frechet_of(real, fake)}
    session.report(f"frechet: {label(own, len(samples), len(pair.private_x))}")
    found |= precision_recall(real, fake) | density_coverage(real, fake)
    if inception:
        theirs = InceptionFeatures(pair.private_x.device)
        found["frechet_inception"] = frechet_of(theirs(pair.private_x), theirs(samples))
        session.report(f"frechet_inception: {label(theirs, len(samples), len(pair.private_x))}")
    return found


def usefulness(pair: Pair, samples: Tensor, y: Tensor, epochs: int, seed: int) -> dict[str, float]:
    """`accuracy_logreg`, `accuracy_mlp`, `accuracy_cnn`; nothing where there are no classes to tell apart."""
    if not pair.conditional or pair.num_classes == 1:
        return {}
    return downstream((samples, y), (pair.held_x, pair.held_y), pair.num_classes, seed, Fitting(epochs=epochs))


def membership(
    network: nn.Module,
    yardstick: Yardstick,
    members: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    most: int,
    seed: int,
) -> dict[str, float]:
    """An attack on at most `most` private examples and as many held-out ones; which, is drawn."""
    count = min(most, len(members[1]), len(held[1]))
    losses = []
    for k, (x, y) in enumerate((members, held)):
        chosen = torch.randperm(len(y), generator=generator(seed, "data", CHOICE, k))[:count].to(y.device)
        losses.append(yardstick.losses(network, x[chosen], y[chosen]))
    return loss_attack(*losses)


def audited(network: nn.Module, yardstick: Yardstick, x: Tensor, canaries: Canaries, delta: float) -> dict[str, float]:
    """`epsilon_lower_bound` at confidence .95 from the losses of planted images, x as the network sees them, and the guesses behind it."""
    found = audit(-yardstick.losses(network, x, canaries.y), canaries.included, delta)
    return {"epsilon_lower_bound": found.epsilon, "canary_guesses": found.guesses, "canary_right": found.right}
