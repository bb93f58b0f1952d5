"""What does one private step do? The sums that a method hands to its ledger, the noise that it adds, and how both depend on an image and on K.

A method is run as in private generation, but its ledger's batches are chosen here and its clipped sums are looked at. Nothing of this is private.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.seeding import generator, stream_seed
from bench.tasks.generation.begun import begun
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.export import merged
from bench.tasks.generation.pair import Pair, as_float
from bench.tasks.generation.protocol import Problem
from bench.tasks.private_step.protocol import Method
from bench.tasks.private_step.watched import Tied, WatchedLedger, flat
from bench.types import NonNegativeInt, PositiveInt

BATCHES_SEEDS = False
START, CHOICE, REFERENCE = 70, 71, 72  # streams
MOST = 64  # copies of an image with draws of its own, and images that networks are compared on


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    warm_up: PositiveInt,
    images: PositiveInt,
    batches: NonNegativeInt,
    releases: NonNegativeInt,
    repetitions: NonNegativeInt,
    reference_draws: PositiveInt,
) -> None:
    """Look at the steps of a method.

    `start_difference`, `tuned_difference`: the largest change of a prediction against the public network before the first step and after `warm_up`
    private ones; `merged_difference`: of the network after them with its adapters merged. After these steps: `sensitivity`, the largest change of
    the clipped sum over C as one image is left out, of all images of `batches` batches, every fourth of two images, each image with draws of
    its own; `noise_ratio`, the root mean square of the noise of empty batches over sigma C; `draw_variance`, the trace of the covariance of the
    mean gradient of one batch under fresh draws, and `cosine`, of such gradients with that of `reference_draws` draws an image, unclipped.

    Args:
        images: of a batch. releases: with empty batches; 0: no `noise_ratio`.
        batches: 0: no `sensitivity`. repetitions: of one batch; 0: neither `draw_variance` nor `cosine`, else at least 2.

    Raises:
        UserError: one repetition, or as `Look`.
    """
    if repetitions == 1:
        raise UserError("task.repetitions = 1: a variance needs two or more; 0: neither draw_variance nor cosine")
    look = Look(session, images)
    session.begin(4)
    found = look.differences(warm_up)
    session.progress.step(1)
    found |= look.sensitivity(batches) if batches else {}
    session.progress.step(2)
    found |= look.noise_ratio(releases) if releases else {}
    session.progress.step(3)
    found |= look.repeated(repetitions, reference_draws) if repetitions else {}
    (seed_run,) = session.runs
    seed_run.finish(**found, releases=look.releases, trainable_parameters=look.method.trainable_parameters)  # type: ignore[arg-type]
    session.progress.step(4)


class Look:
    """A method that stands before its first step, and what it is watched through.

    Raises:
        UserError: there is no model, more images are asked for than there are, or the method opens no ledger with noise.
    """

    def __init__(self, session: Session, images: int) -> None:
        parts, (self.seed,), device = session.job.parts, session.seeds, session.device.device
        pair: Pair = build("dataset", parts["dataset"], session.job.settings.data_root, self.seed).to(device)
        if parts.get("model") is None:
            raise UserError("model: missing value; name a denoiser, as model=unet_digits")
        if images > len(pair.private_y):
            raise UserError(f"task.images = {images}: more than the {len(pair.private_y)} private images; at most that")
        self.releases = 0
        self.images, self.x, self.y = images, as_float(pair.private_x), pair.private_y
        self.public, denoiser = (self._network(session, pair) for _ in range(2))
        stream = generator(self.seed, "noise", START, device=device)
        schedule = Schedule()
        size = (len(self.y), MOST)
        t = schedule.draw_times(size, stream)
        self.tied = Tied(schedule, t, torch.randn(*size, *pair.shape, generator=stream, device=device))
        self.ledgers: list[WatchedLedger] = []
        problem = Problem(
            pair, self.x, self.y, denoiser, None, lambda x: x, self.tied, self._open_ledger, self.seed, device  # type: ignore[arg-type]
        )  # fmt: skip
        self.method: Method = build("method", parts["method"])
        if getattr(self.method, "noise_multiplicity", 1) > MOST:
            raise UserError(
                f"method.noise_multiplicity = {self.method.noise_multiplicity}: an image has {MOST} draws here; at most that"
            )
        self.steps = begun(self.method, problem)
        if not self.ledgers or not self.ledgers[0].noise_multiplier:
            raise UserError("method.epsilon: null, which makes no private step; a number")
        (self.ledger,) = self.ledgers

    def _open_ledger(self, **terms: Any) -> WatchedLedger:
        self.ledgers.append(WatchedLedger(n=len(self.y), seed=self.seed, **terms))
        return self.ledgers[-1]

    def _network(self, session: Session, pair: Pair) -> nn.Module:
        """The denoiser; its weights depend on the seed alone."""
        classes = max(pair.public_classes, pair.num_classes) if pair.conditional else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "init", START))
            made = build("model", session.job.parts["model"], pair.shape[0], classes, pair.shape[1])
        return made.to(session.device.device).eval()

    def _chosen(self, k: int, count: int) -> Tensor:
        """Indices [count] of distinct images, ascending."""
        order = torch.randperm(len(self.y), generator=generator(self.seed, "data", CHOICE, k))
        return order[:count].sort().values

    def _advance(self, step: int) -> dict[str, float]:
        self.releases += 1
        return self.method.advance(step)

    def _sums(self, rows: Tensor, step: int) -> tuple[Tensor, float]:
        """The clipped sum over a batch [p], and the norm of the gradient that is released; the network stays as it is."""
        before = self.method.state_dict()
        self.ledger.chosen = rows
        said = self._advance(step)
        self.ledger.chosen = None
        self.method.load_state_dict(before)
        return flat(self.ledger.sums), said["gradient_norm"]

    def differences(self, warm_up: int) -> dict[str, float]:
        """How far networks' predictions on the first private images are apart; afterwards the method has made its first steps."""
        stream, seen = generator(self.seed, "noise", START, 1, device=self.x.device), self.x[:MOST]
        x, y, t = seen, self.y[:MOST], self.tied.schedule.draw_times((len(seen),), stream)

        @torch.no_grad()
        def apart(one: nn.Module, other: nn.Module) -> float:
            return (one(x, t, y) - other(x, t, y)).abs().max().item()

        start = apart(self.public, self.method.network())
        for step in range(warm_up):
            self._advance(step)
        tuned = self.method.network()
        return {
            "start_difference": start,
            "tuned_difference": apart(self.public, tuned),
            "merged_difference": apart(merged(tuned), tuned),  # type: ignore[arg-type]
        }

    def sensitivity(self, batches: int) -> dict[str, float]:
        """Of neighbouring batches; an image's draws are its own, so that leaving it out changes nothing of the others."""
        largest = 0.0
        for k in range(batches):
            rows = self._chosen(k, 2 if k % 4 == 3 else self.images)
            whole = self._tied_sum(rows)
            for i in range(len(rows)):
                without = self._tied_sum(torch.cat([rows[:i], rows[i + 1 :]]))
                largest = max(largest, float((whole - without).norm()))
        return {"sensitivity": largest / self.method.clip}

    def _tied_sum(self, rows: Tensor) -> Tensor:
        self.tied.tie(rows)
        found, _ = self._sums(rows, self.steps)
        self.tied.tie(None)
        return found

    def noise_ratio(self, releases: int) -> dict[str, float]:
        """Of what is released from empty batches, times the expected batch."""
        empty, squares = torch.empty(0, dtype=torch.int64), 0.0
        for k in range(releases):
            squares += (self._sums(empty, self.steps + k)[1] * self.ledger.expected_batch) ** 2
        size = self.ledger.noise_multiplier * self.ledger.clip
        return {"noise_ratio": math.sqrt(squares / (releases * self.method.trainable_parameters)) / size}

    def repeated(self, repetitions: int, draws: int) -> dict[str, float]:
        """One batch under fresh draws of time and noise."""
        rows = self._chosen(0, self.images)
        found = torch.stack([self._sums(rows, self.steps + k)[0] for k in range(repetitions)]) / len(rows)
        true = self._true_gradient(rows, draws)
        return {
            "draw_variance": found.var(0).sum().item(),
            "cosine": torch.cosine_similarity(found, true[None], dim=1).mean().item(),
        }

    def _true_gradient(self, rows: Tensor, draws: int) -> Tensor:
        """Of the mean loss of a batch over many draws, by autograd and unclipped, [p]."""
        network, device = self.method.network(), self.x.device
        trained = [p for p in network.parameters() if p.requires_grad]
        total, rows = torch.zeros((), dtype=torch.float64), rows.to(device)
        for k in range(math.ceil(draws / MOST)):
            stream, count = generator(self.seed, "noise", REFERENCE, k, device=device), min(MOST, draws - k * MOST)
            t = self.tied.schedule.draw_times((len(rows), count), stream)
            noise = torch.randn(*t.shape, *self.x.shape[1:], generator=stream, device=device)
            losses = self.tied.schedule.loss_per_example(network, self.x[rows], self.y[rows], t, noise)
            total = total + flat(torch.autograd.grad(losses.mean() * count / draws, trained))
        return total
