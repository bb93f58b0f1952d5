"""What methods that tune a denoiser by DP-SGD share: Poisson batches, copies averaged within an example, clipping, noise, AdamW."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.seeding import generator, stream_seed
from bench.tasks.generation.accounting import Accountant, noise_multiplier
from bench.tasks.generation.ledger import Refused
from bench.types import Decay, Inner, NonNegativeFloat, PositiveFloat, PositiveInt
from methods.private.dpsgd import private_gradient
from methods.private.per_example import per_example

if TYPE_CHECKING:
    from bench.tasks.generation.protocol import Problem


class Tuning:
    r"""DP-SGD on the mean loss of K noised copies of each example.

        l_i = 1/K sum_k || eps_ik - e(z_i at t_ik, t_ik, y_i) ||^2 / pixels,     theta <- AdamW(theta, private gradient of sum l_i)

    A method is this with an `adapt` of its own. What `advance` returns of a private run is a function of what was released, so that curves are
    as private as the network; losses and norms of private examples are not shown.

    Args:
        epsilon: the budget, of one image added or removed; null: no privacy, neither clipping nor noise.
        delta: of the guarantee, below one over the number of private images.
        accountant: prv, pld or rdp, which states what is spent and calibrates the noise.
        clip: C, of an example's gradient by all trained parameters together.
        batch_size: q N, the expected size of a Poisson batch; at most N.
        steps: T. epochs: in its place, T = floor(epochs / q). One of them is null.
        noise_multiplicity: K, draws of (t, eps) an example and step.
        lr, weight_decay: of AdamW.
        physical_batch_size: examples, of K copies each, in a backward pass; null: the whole batch. The step is the same.
        ema: decay of the average of parameters that is sampled from, min(ema, (1 + t) / (10 + t)) after t steps; 0: the last parameters.
        secure: batches, noise and draws of (t, eps) from the operating system's generator, with no seed to store.

    Raises:
        ValueError: steps and epochs are both given, or neither.
    """

    pretrained = True

    def __init__(
        self,
        *,
        epsilon: PositiveFloat | None,
        delta: Inner,
        accountant: Accountant = "prv",
        clip: PositiveFloat,
        batch_size: PositiveInt,
        steps: PositiveInt | None = None,
        epochs: PositiveFloat | None = None,
        noise_multiplicity: PositiveInt = 1,
        lr: PositiveFloat,
        weight_decay: NonNegativeFloat = 0.0,
        physical_batch_size: PositiveInt | None = None,
        ema: Decay = 0.0,
        secure: bool = False,
    ) -> None:
        if (steps is None) == (epochs is None):
            raise ValueError(f"steps = {steps}, epochs = {epochs}: one of them is a number, the other null")
        self.epsilon, self.delta, self.accountant, self.clip, self.secure = epsilon, delta, accountant, clip, secure
        self.batch_size, self.physical_batch_size = batch_size, physical_batch_size or batch_size
        self.steps, self.epochs, self.noise_multiplicity = steps, epochs, noise_multiplicity
        self.lr, self.weight_decay, self.ema = lr, weight_decay, ema

    def adapt(self, denoiser: nn.Module) -> nn.Module:
        """Of a method: the network to train, called as the denoiser; what is trained has `requires_grad`, all else has not."""
        raise NotImplementedError

    def begin(self, problem: Problem) -> int:
        """The number of steps; the noise is calibrated and the ledger opened.

        Raises:
            ValueError: batch_size is more than the private images. UserError: as `noise_multiplier` and `Ledger`.
        """
        n = len(problem.x)
        if self.batch_size > n:
            raise ValueError(f"batch_size = {self.batch_size}: more than the {n} private images; at most {n}")
        self.problem, rate = problem, self.batch_size / n
        steps = self.steps or int(self.epochs / rate + 1e-9)  # type: ignore[operator]
        if steps < 1:
            raise ValueError(
                f"epochs = {self.epochs}: less than a step of batch_size = {self.batch_size}; at least {rate:.4g}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(problem.seed, "init"))
            self.adapted = self.adapt(problem.denoiser).to(problem.device).eval()
        self._trained = {name: p for name, p in self.adapted.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(self._trained.values(), lr=self.lr, weight_decay=self.weight_decay)
        self._average = {name: p.detach().clone() for name, p in self._trained.items()} if self.ema else {}
        self._updates = 0
        self.ledger = problem.ledger(
            rate=rate,
            noise_multiplier=0.0 if self.epsilon is None else self._calibrated(rate, steps),
            clip=self.clip,
            steps=steps,
            delta=self.delta,
            target_epsilon=self.epsilon,
            secure=self.secure,
            accountant=self.accountant,
        )
        return steps

    def _calibrated(self, rate: float, steps: int) -> float:
        return noise_multiplier(self.epsilon, rate, steps, self.delta, self.accountant)

    @property
    def notice(self) -> str | None:
        """What a person should know of the guarantee, and whether steps were left out."""
        lost = self.ledger.released - self._updates if self.epsilon is not None else 0
        said = [f"{lost} releases of a run that was stopped are spent; as many steps are left out"] if lost > 0 else []
        return "; ".join([*said, *([self.ledger.notice] if self.ledger.notice else [])]) or None

    @property
    def trainable_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._trained.values())

    def advance(self, step: int) -> dict[str, float]:
        """A step. `gradient_norm`: of the gradient that was released; 0 where the budget is spent, and no step is made."""
        if self.epsilon is None:
            return self._plain(step)
        if not self.ledger.left:
            return {"gradient_norm": 0.0, "released": float(self.ledger.released)}
        batch, parameters = self.ledger.batch(step), list(self._trained.values())
        gradient = private_gradient(self._parts(batch, step), parameters, self.ledger, step)
        self._update(gradient)
        norm = torch.stack([one.norm() for one in gradient]).norm()
        return {"gradient_norm": float(norm), "released": float(self.ledger.released), **self._cost()}

    def _cost(self) -> dict[str, float]:
        """`gradient_evaluations` of the batch that is expected: how large one was tells whether an image is in the data."""
        return {"gradient_evaluations": float(self.noise_multiplicity * self.batch_size)}

    def _losses(self, batch: Tensor, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices [b] and losses [b] of one physical batch after another; the draws do not depend on how a batch is split."""
        problem = self.problem
        t, noise = self._draws(len(batch), step)
        split = zip(
            batch.split(self.physical_batch_size),
            t.split(self.physical_batch_size),
            noise.split(self.physical_batch_size),
        )
        for rows, times, draws in split if len(batch) else ():
            at = rows.to(problem.device)
            yield rows, problem.schedule.loss_per_example(self.adapted, problem.x[at], problem.y[at], times, draws)

    def _draws(self, count: int, step: int) -> tuple[Tensor, Tensor]:
        """Times [count, K] and noise [count, K, ...] of a batch, by an image's place in it: they shift as an image is left out.

        Draws that nobody knows are exchangeable, so that this costs nothing; known ones would move the sum by far more than C. Secure ones come
        from a generator with 128 bits of the operating system's, which is kept nowhere.
        """
        problem, size = self.problem, (count, self.noise_multiplicity)
        timesteps, shape = len(problem.schedule.alphas_bar), (*size, *problem.x.shape[1:])
        if self.secure:
            unknown = np.random.default_rng()
            t = torch.from_numpy(unknown.integers(timesteps, size=size))
            noise = torch.from_numpy(unknown.standard_normal(shape, dtype=np.float32))
            return t.to(problem.device), noise.to(problem.device)
        streams = [generator(problem.seed, "augment", step, part, device=problem.device) for part in (0, 1)]
        t = torch.randint(timesteps, size, generator=streams[0], device=problem.device)
        return t, torch.randn(*shape, generator=streams[1], device=problem.device)

    def _parts(self, batch: Tensor, step: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Indices and per-example gradients of one physical batch after another."""
        with per_example(self.adapted, self.noise_multiplicity) as gradients:
            for rows, losses in self._losses(batch, step):
                losses.sum().backward()
                yield rows, gradients.take(len(rows))

    def _plain(self, step: int) -> dict[str, float]:
        """Without privacy: the mean gradient of the same batch; no step where it is empty."""
        batch, total = self.ledger.batch(step), 0.0
        for _, losses in self._losses(batch, step):
            loss = losses.sum() / len(batch)
            loss.backward()
            total += float(loss.detach())
        if len(batch):
            self._update([p.new_zeros(p.shape) if p.grad is None else p.grad for p in self._trained.values()])
        self.ledger.passed(step)
        return {"loss": total, **self._cost()} if len(batch) else {}

    def _update(self, gradient: list[Tensor]) -> None:
        for parameter, part in zip(self._trained.values(), gradient):
            parameter.grad = part
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._updates += 1
        decay = min(self.ema, (1 + self._updates) / (10 + self._updates))
        for name, mean in self._average.items():
            mean.lerp_(self._trained[name].detach(), 1 - decay)

    def network(self) -> nn.Module:
        """The tuned denoiser, for sampling; with `ema` a copy that has the average."""
        if not self._average:
            return self.adapted
        averaged = copy.deepcopy(self.adapted)
        averaged.load_state_dict(self._average, strict=False)
        return averaged

    def state_dict(self) -> dict[str, Any]:
        """What was trained, the optimizer, and how many releases were made."""
        return {
            "trained": {name: p.detach().clone() for name, p in self._trained.items()},
            "average": dict(self._average),
            "optimizer": self._optimizer.state_dict(),
            "updates": self._updates,
            "released": self.ledger.released,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, after `begin`.

        Raises:
            Refused: the ledger knows of fewer releases than the state.
        """
        if self.ledger.released < state["released"]:
            raise Refused(
                f"the checkpoint has {state['released']} releases, the journal {self.ledger.released}: what was spent is lost; "
                "start again in a new folder for results"
            )
        for name, parameter in self._trained.items():
            parameter.copy_(state["trained"][name])
        for name, mean in self._average.items():
            mean.copy_(state["average"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._updates = state["updates"]
