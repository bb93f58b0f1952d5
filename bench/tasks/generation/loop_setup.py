"""What stands before a method's first step: the data, the space that is denoised in, a network that has seen public images, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.files import CHECKPOINT, LEDGER, beside
from bench.run.session import Session
from bench.run.stopping import pause
from bench.seeding import stream_seed
from bench.tasks.generation.autoencoder import Autoencoder, autoencoder
from bench.tasks.generation.canary import Canaries, plant
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.embedding import public_classifier
from bench.tasks.generation.features import SEED, PublicFeatures, public_features
from bench.tasks.generation.ledger import Ledger
from bench.tasks.generation.pair import Pair, as_float
from bench.tasks.generation.pretraining import Training, pretrained
from bench.tasks.generation.protocol import Problem

PUBLIC_SEED = 0  # of what is trained on public images, whatever the run's: the model that everyone starts from
START = 88  # stream of a network's first weights
PRETRAINED, CLASSIFIERS = Path(".cache", "pretrained"), Path(".cache", "classifiers")  # below results_root


@dataclass(frozen=True)
class Space:
    """What is denoised: pixels from -1 to 1, or latents.

    Attributes:
        encode: images uint8 [n, C, S, S] to float32 [n, c, s, s].
        decode: the way back, to float32 [n, C, S, S] in [-1, 1] or a little beyond; differentiable.
        shape: (c, s, s).
        autoencoder: of latents.
    """

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    shape: tuple[int, int, int]
    autoencoder: Autoencoder | None = None


@dataclass
class Ground:
    """All that a method is given, and what of it the task keeps for itself.

    Attributes:
        pair: as the data set returned it, on the device.
        planted: the same with canaries among the private images; `pair` where there are none.
        ledger: that the method has opened; None: it has not.
    """

    session: Session
    pair: Pair
    planted: Pair
    canaries: Canaries | None
    space: Space
    schedule: Schedule
    fresh: bool
    ledger: Ledger | None = None

    def open_ledger(self, **terms: Any) -> Ledger:
        """The run's Ledger on the method's terms, with its journal in the run's folder.

        Of an attempt that left no checkpoint, a fresh start repeats the releases bit for bit where they come from the seed, and the journal
        begins anew; secure ones cannot be repeated and stay spent. force=true is a new run, with a budget of its own.

        Raises:
            UserError: a second one, or a fresh start of a secure run would throw away what was released: all of the budget, or what a checkpoint
                holds that this code cannot go on from.
        """
        if self.ledger is not None:
            raise UserError("method: it opens a second ledger; a run's releases stand in one")
        (run,) = self.session.runs
        journal = run.folder / (LEDGER + beside(run.folder))
        if self.fresh and (self.session.job.settings.force is True or not terms.get("secure")):
            journal.unlink(missing_ok=True)
        self.ledger = made = Ledger(n=len(self.planted.private_y), seed=run.seed, journal=journal, **terms)
        if self.fresh and made.secure and made.released and (not made.left or (run.folder / CHECKPOINT).exists()):
            raise UserError(
                f"{journal}: {made.released} of {made.steps} secure releases are made, which cannot be made again, and a start from scratch would throw "
                "them away; go on with the code that wrote the checkpoint, or copy the folder, then force=true: a new run, whose budget comes on top"
            )
        return made

    def problem(self, denoiser: nn.Module, features: nn.Module | None) -> Problem:
        """What the method sees: in the place of held-out images there is a private one."""
        pair = self.planted
        blind = replace(pair, held_x=pair.private_x[:1], held_y=pair.private_y[:1])
        x, device = self.space.encode(pair.private_x), self.session.device.device
        return Problem(
            blind, x, pair.private_y, denoiser, features, self.space.decode, self.schedule, self.open_ledger,
            self.session.seeds[0], device,
        )  # fmt: skip


def prepared(
    session: Session, pair: Pair, space: str, training: Training, schedule: Schedule, canaries: int, fresh: bool
) -> Ground:
    """Everything but the network: the data on the device, the space that is denoised in, planted canaries.

    Args:
        space: pixel, latent; training: of the autoencoder.
        fresh: does the run start, and not go on?
    """
    pair = pair.to(session.device.device)
    planted, audited = plant(pair, canaries, session.seeds[0]) if canaries else (pair, None)
    chosen = Space(as_float, lambda x: x, pair.shape) if space == "pixel" else latents(session, pair, training)
    return Ground(session, pair, planted, audited, chosen, schedule, fresh)


def network(session: Session, pair: Pair, space: Space, seed: int) -> nn.Module:
    """The denoiser as it starts, for the classes of both sets, on the device; its weights depend on the seed alone."""
    if session.job.parts.get("model") is None:
        raise UserError("model: missing value; name a denoiser, as model=unet_digits")
    classes = max(pair.public_classes, pair.num_classes) if pair.conditional else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", START))
        made = build("model", session.job.parts["model"], space.shape[0], classes, space.shape[1])
    return made.to(session.device.device).eval()


def kept(session: Session, folder: Path) -> Path:
    """Where networks of public data are kept."""
    return Path(session.job.settings.results_root) / folder


def classifier(session: Session, pair: Pair, steps: int, seed: int = SEED) -> PublicFeatures:
    """Features of a classifier of the public images."""
    return public_features(public_classifier(pair, kept(session, CLASSIFIERS), steps, seed, session.report), pair)


def denoiser_of(ground: Ground, training: Training | None) -> nn.Module:
    """What a method starts from, a network of its own: trained on public images, or where `training` is None as the run's seed makes it."""
    session, pair, space = ground.session, ground.pair, ground.space
    if training is None:
        return network(session, pair, space, session.seeds[0])
    fresh, x = network(session, pair, space, PUBLIC_SEED), space.encode(pair.public_x)
    return pretrained(
        fresh,
        x,
        pair.public_y,
        ground.schedule,
        training,
        kept(session, PRETRAINED),
        PUBLIC_SEED,
        session.report,
        partial(pause, session),
    )


def latents(session: Session, pair: Pair, training: Training) -> Space:
    """The latents of an autoencoder that is trained on the public images."""
    x = as_float(pair.public_x)
    network = autoencoder(x, training, kept(session, PRETRAINED), PUBLIC_SEED, session.report, partial(pause, session))
    return Space(lambda x: network.encode(as_float(x)), network.decode, tuple(network.encode(x[:1]).shape[1:]), network)  # type: ignore[arg-type]
