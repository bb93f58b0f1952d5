"""Generation: a method learns from private images under a stated (epsilon, delta), and the task samples from what it learnt.

Held-out images are seen by metrics alone, after the last sample is drawn; nothing is chosen by them. The privacy unit is one private image with its
label, added or removed. Evaluation itself (distances from private images, attacks) is no release: a number of this task that is published beside the
samples tells of the private set what epsilon does not cover.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.files import MODEL
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.generation.begun import begun
from bench.tasks.generation.coverage import NEIGHBOURS
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.features import GIVEN_SEED, InceptionFeatures
from bench.tasks.generation.ledger import UNIT
from bench.tasks.generation.loop_grid import thumbnails as thumbnail_rows
from bench.tasks.generation.loop_grid import write_grid
from bench.tasks.generation.loop_keep import write_model
from bench.tasks.generation.loop_measure import Yardstick, audited, fidelity, membership, usefulness
from bench.tasks.generation.loop_setup import Ground, classifier, denoiser_of, prepared
from bench.tasks.generation.pair import Pair, as_bytes
from bench.tasks.generation.pretraining import Training
from bench.tasks.generation.protocol import Method
from bench.types import Added, Decay, NonNegativeInt, PositiveFloat, PositiveInt, Probability

BATCHES_SEEDS = False
FEWEST = 10  # samples, and two of each class
SAMPLED = 500  # samples at a time, between which a run can be stopped
SAMPLING = 89  # stream


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    space: Literal["pixel", "latent"],
    timesteps: PositiveInt,
    beta_start: PositiveFloat,
    beta_end: PositiveFloat,
    sampling_steps: PositiveInt,
    eta: Probability,
    pretraining_steps: PositiveInt,
    pretraining_batch_size: PositiveInt,
    pretraining_lr: PositiveFloat,
    pretraining_ema: Decay,
    autoencoder_steps: PositiveInt,
    samples: PositiveInt,
    reports: PositiveInt,
    public_images: PositiveInt,
    feature_steps: PositiveInt,
    inception: bool,
    classifier_epochs: PositiveInt,
    membership: NonNegativeInt,
    membership_draws: PositiveInt,
    canaries: NonNegativeInt,
    grid: PositiveInt,
    thumbnails: NonNegativeInt,
    save_model: Added[bool] = False,
) -> None:
    """Learn, write samples.png, ledger.jsonl and, if it is asked for, model.zip into the run's folder, and finish with the metrics.

    `noise_multiplier` and `releases` are left out of a method that opens no ledger, `epsilon` and `delta` also of one without noise, and the attacks by
    the loss where a method has no denoiser. There are no accuracies where images have no classes.

    Args:
        space: what is denoised, pixels or the latents of an autoencoder that is trained on public images.
        timesteps, beta_start, beta_end: of the noise (diffusion.Schedule); sampling_steps, eta: of DDIM.
        pretraining_steps, pretraining_batch_size, pretraining_lr, pretraining_ema: of the network on public images, for pretrained methods.
        autoencoder_steps: of the latent space's training, which is else as that network's.
        samples: drawn, with equal shares of the classes.
        reports: about so many rows of the curve.
        public_images: whose denoising loss is logged.
        feature_steps: of the classifier of public images whose features samples are compared in.
        inception: also `frechet_inception`.
        classifier_epochs: of the networks trained on samples.
        membership: private images, and as many held out, of the attack; membership_draws: of time and noise, K, of each loss.
        canaries: planted images of the audit; at least two, or none.
        grid, thumbnails: images of a class in samples.png, and as rows of the curve.
        save_model: write model.zip (loop_keep); that of secure releases, which cannot be made again, always is.

    Raises:
        UserError: keys that do not fit, or a ledger whose records do not carry the guarantee that was asked for: no epsilon is stated.
    """
    pair: Pair = build("dataset", session.job.parts["dataset"], session.job.settings.data_root, session.seeds[0])
    _check(session, samples, canaries, pair)
    if inception:
        InceptionFeatures("cpu")  # is it there? asked before anything is spent
    if pair.about:
        session.report(pair.about)
    noise = {"timesteps": timesteps, "beta_start": beta_start, "beta_end": beta_end}
    schedule = Schedule(**noise, sampling_steps=sampling_steps, eta=eta, clip=space == "pixel")  # type: ignore[arg-type]
    how = pretraining_batch_size, pretraining_lr, pretraining_ema
    ground = prepared(session, pair, space, Training(autoencoder_steps, *how), schedule, canaries, state is None)
    pretraining = Training(pretraining_steps, *how)
    generating = Generating(session, ground, pretraining, feature_steps, membership_draws, state)
    generating.train(reports, public_images)
    if not generating.sample(samples):
        return
    with session.clock.paused():
        sound = generating.measure(inception, classifier_epochs, membership)
    if sound:
        generating.finish(grid, thumbnails, save_model)


def _check(session: Session, samples: int, canaries: int, pair: Pair) -> None:
    if session.device.settings.precision != "fp32":
        raise UserError(
            "hardware.precision = bf16: a gradient that is clipped and summed in bf16 is not within its bound; hardware.precision=fp32"
        )
    if samples < (least := max(FEWEST, 2 * pair.num_classes)):
        raise UserError(f"task.samples = {samples}: too few to measure anything by; at least {least}")
    if len(pair.private_y) <= NEIGHBOURS:
        raise UserError(
            f"the data set has {len(pair.private_y)} private images; at least {NEIGHBOURS + 1}, to measure samples by"
        )
    if canaries == 1:
        raise UserError("task.canaries = 1: an audit needs two or more; 0: no audit")


class Generating:
    """One seed's run. State: the steps that are done, the method's own state, and the samples so far."""

    def __init__(
        self,
        session: Session,
        ground: Ground,
        pretraining: Training,
        feature_steps: int,
        draws: int,
        state: dict[str, Any] | None,
    ) -> None:
        self.session, self.ground, (self.seed,), (self.run,) = session, ground, session.seeds, session.runs
        self.features = classifier(session, ground.pair, feature_steps)
        self.method: Method = build("method", session.job.parts["method"])
        denoiser = denoiser_of(ground, pretraining if self.method.pretrained else None)
        wants = getattr(self.method, "wants_features", False)
        seen = classifier(session, ground.pair, feature_steps, GIVEN_SEED).network if wants else None
        self.steps = begun(self.method, ground.problem(denoiser, seen))
        if ground.canaries is not None and self.method.network() is None:
            raise UserError(
                f"task.canaries = {len(ground.canaries.y)}: the audit goes by a denoiser's losses, and the method has none; task.canaries=0"
            )
        self.yardstick = Yardstick(
            ground.schedule, torch.empty(ground.space.shape, device=session.device.device), draws, self.seed
        )
        self.done, self.drawn = 0, list[Tensor]()
        if state is not None:
            self.method.load_state_dict(state["method"])
            self.done, self.drawn = state["step"], state["samples"]
        self.final: dict[str, Any] = {"steps": self.steps, "trainable_parameters": self.method.trainable_parameters}

    def _save(self) -> None:
        self.session.save({"step": self.done, "method": self.method.state_dict(), "samples": self.drawn})

    def train(self, reports: int, public_images: int) -> None:
        """The steps that are left, then what they have spent."""
        session, every = self.session, max(1, round(self.steps / reports))
        pair, space = self.ground.pair, self.ground.space
        public = space.encode(pair.public_x[:public_images]), pair.public_y[:public_images]
        session.begin(self.steps + 1, self.done)
        if self.done == 0:
            self._report(public, {})
            if self.ground.ledger and (notice := self.ground.ledger.notice):
                session.report(f"{session.job.title}: {notice}")
        while self.done < self.steps:
            left = self._left()
            told = dict(self.method.advance(self.done))
            session.gradient_evaluations[0] += int(told.pop("gradient_evaluations", 0))
            self.done += 1
            session.progress.step(self.done)
            if self.done % every == 0 or self.done == self.steps:
                self._report(public, told)
            if session.due() or self._left() == 0 < left:
                self._save()
        self._state_spent()

    def _left(self) -> int:
        """Releases that can still be made; once there are none, what was released cannot be had again, and is saved at once."""
        return self.ground.ledger.left if self.ground.ledger else 0

    def _report(self, public: tuple[Tensor, Tensor], told: dict[str, float]) -> None:
        """A row: the loss on public images, under fixed draws, and what the method tells. A loss on private images would be a release of its own."""
        network = self.method.network()
        if network is not None:
            told = told | {"public_loss": self.yardstick.losses(network, *public).mean().item()}
        if told:
            self.session.progress.note(self.done, **told)
            self.run.log(self.done, **told)

    def _state_spent(self) -> None:
        """Before a sample is drawn: what the ledger cannot vouch for ends the run."""
        ledger = self.ground.ledger
        if ledger is None:
            return
        spent, job = ledger.epsilon(), self.session.job
        self.final |= {"noise_multiplier": ledger.noise_multiplier, "releases": ledger.released}
        if math.isfinite(spent):
            self.final |= {"epsilon": spent, "delta": ledger.delta}
            self.session.report(
                f"{job.title}: epsilon = {spent:.4g} at delta = {ledger.delta:g}, {UNIT}"
                + (
                    ""
                    if ledger.secure
                    else "; against who does not know the seed (method.secure=true: against everyone)"
                )
            )
        if notice := getattr(self.method, "notice", None) or ledger.notice:
            self.session.report(f"{job.title}: {notice}")

    def sample(self, count: int) -> bool:
        """Draw what is left of `count` samples; False where they are no images, and the run has ended as diverged."""
        space, pair = self.ground.space, self.ground.pair
        self.y = torch.arange(count, device=pair.private_y.device) % pair.num_classes
        for part, labels in enumerate(self.y.split(SAMPLED)):
            if part < len(self.drawn):
                continue
            stream = generator(self.seed, "noise", SAMPLING, part)
            try:
                self.drawn.append(as_bytes(space.decode(self._some(labels, stream))))
            except ValueError as error:
                return self._diverged(str(error))
            if self.session.due():
                self._save()
        self.x = torch.cat(self.drawn)
        return True

    def _diverged(self, why: str) -> bool:
        """False: the run has ended."""
        self.session.report(f"{self.session.job.title}: {why}")
        self.run.finish("diverged", **self.final)
        return False

    @torch.no_grad()
    def _some(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        network, shape = self.method.network(), (len(labels), *self.ground.space.shape)
        if network is None:
            return self.method.sample(labels, stream)  # type: ignore[attr-defined]
        return self.ground.schedule.sample(network, labels, shape, stream)

    def measure(self, inception: bool, epochs: int, most: int) -> bool:
        """Every metric, of the samples and of the network; False where its losses are no numbers, and the run has ended as diverged."""
        ground, network = self.ground, self.method.network()
        pair, encode = ground.pair, ground.space.encode
        found = fidelity(self.session, pair, self.x, self.features, inception) | usefulness(  # type: ignore[arg-type]
            pair, self.x, self.y, epochs, self.seed
        )
        try:
            if network is not None and most:
                held = encode(pair.held_x), pair.held_y
                found |= membership(
                    network, self.yardstick, (encode(pair.private_x), pair.private_y), held, most, self.seed
                )
            if network is not None and ground.canaries is not None:
                delta = self.final.get("delta", 0.0)
                found |= audited(network, self.yardstick, encode(ground.canaries.x), ground.canaries, delta)
        except ValueError as error:
            return self._diverged(str(error))
        self.session.progress.note(self.steps + 1, **found)
        self.final |= found | {"samples": len(self.x), "reference_images": len(pair.private_y)}
        return True

    def finish(self, grid: int, thumbnails: int, save_model: bool) -> None:
        """The picture of the samples, their rows, what is taken away, and the end."""
        for row in thumbnail_rows(self.ground.pair, self.x, self.y, thumbnails):
            self.run.log(self.steps, **row)
        path = write_grid(self.run.folder, self.ground.pair, self.x, self.y, grid)
        self.session.report(f"samples of each class: {path}")
        ledger, ground = self.ground.ledger, self.ground
        if save_model or (ledger is not None and ledger.secure):
            network, autoencoder = self.method.network(), ground.space.autoencoder
            path = write_model(
                self.run.folder, network, ground.schedule, autoencoder, ledger, ground.pair, (self.x, self.y)
            )
            self.session.report(f"what was learnt: {self.run.folder / MODEL} ({path.stat().st_size / 1e6:.1f} MB)")
        self.run.finish(**self.final)
