r"""DP-MEPF-like: one release of mean features, and a generator that is trained to have them (Harder et al., 2023, arXiv 2205.12900)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bench.seeding import generator, stream_seed
from bench.tasks.generation.accounting import Accountant, noise_multiplier
from bench.tasks.generation.ledger import Refused
from bench.types import Inner, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from bench.tasks.generation.protocol import Problem

COUNT = 0.25  # share of an example that counts it for its class
ROWS = 256  # examples at a time through the extractor
FEWEST = 1.0  # of a class, where the noisy count is less
START = 62  # stream of the generator's weights


class MEPF:
    r"""The private data is seen once, through a network that has seen public data alone.

        S = sum_i e_{y_i} c_i^T + sigma Delta xi,   c_i = (f_i / |f_i|, f_i^2 / |f_i^2|, w),   Delta = max |c_i|

    f_i are features of image i, squares are by coordinate, w = 1/4 counts the images of a class. An image that is added or removed moves one
    row of S by c_i, so the sensitivity is Delta = sqrt(2 + w^2), or sqrt(1 + w^2) without squares. A generator is then trained so that the means
    of its images, class by class, are those of S, which needs no further release.

    Differences from the paper: means are of a class and not of the whole, counts are released too, and features are those that the task
    supplies and not VGG-19's.

    Args:
        epsilon, delta, accountant, secure: as of `Tuning`; epsilon: null releases the sums without noise.
        squares: release the second moments as well.
        steps, batch_size, lr: of the generator's training by Adam; lr falls to 0 along a cosine.
        noise_width: coordinates of the generator's input. width: its channels.
    """

    pretrained = False
    wants_features = True

    def __init__(
        self,
        *,
        epsilon: PositiveFloat | None,
        delta: Inner,
        accountant: Accountant = "prv",
        secure: bool = False,
        squares: bool = True,
        steps: PositiveInt,
        batch_size: PositiveInt,
        lr: PositiveFloat,
        noise_width: PositiveInt = 16,
        width: PositiveInt = 32,
    ) -> None:
        self.epsilon, self.delta, self.accountant, self.secure = epsilon, delta, accountant, secure
        self.squares, self.steps, self.batch_size, self.lr = squares, steps, batch_size, lr
        self.noise_width, self.width = noise_width, width

    @property
    def sensitivity(self) -> float:
        """Delta, the largest norm of what an image adds to the sums."""
        return math.sqrt(1 + self.squares + COUNT**2)

    def begin(self, problem: Problem) -> int:
        """The number of steps of the generator; the ledger is opened for one release of all examples, unsampled.

        Raises:
            ValueError: the batch holds fewer images than there are classes.
        """
        self.problem, self._classes = problem, problem.pair.num_classes
        if self.batch_size < self._classes:
            raise ValueError(
                f"batch_size = {self.batch_size}: less than one image of each of {self._classes} classes; at least that"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(problem.seed, "init", START))
            bounded = tuple(problem.x.shape[1:]) == tuple(problem.pair.public_x.shape[1:])
            made = Generator(self._classes, self.noise_width, self.width, tuple(problem.x.shape[1:]), bounded)
        self._generator = made.to(problem.device)
        self._optimizer = torch.optim.Adam(self._generator.parameters(), lr=self.lr)
        self._released: Tensor | None = None
        self._ledger = problem.ledger(
            rate=1.0,
            noise_multiplier=self._calibrated(),
            clip=self.sensitivity,
            steps=1,
            delta=self.delta,
            target_epsilon=self.epsilon,
            secure=self.secure,
            accountant=self.accountant,
        )
        return self.steps

    def _calibrated(self) -> float:
        return 0.0 if self.epsilon is None else noise_multiplier(self.epsilon, 1.0, 1, self.delta, self.accountant)

    @property
    def trainable_parameters(self) -> int:
        """Of the generator."""
        return sum(parameter.numel() for parameter in self._generator.parameters())

    def release(self) -> Tensor:
        """S, [classes, c]: the one look at the private data.

        Raises:
            Refused: it was released before, by a process that was killed before the sums were saved.
        """
        problem = self.problem
        if not self._ledger.left:
            raise Refused(
                "method: the sums were released by a run that was stopped before it saved them, and the budget is spent; a second release is a "
                "new run, with a budget of its own: force=true"
            )
        rows = self._ledger.batch(0)
        total = torch.zeros(self._classes, self._contributions(problem.x[:1]).shape[1], device=problem.device)
        for part in rows.split(ROWS):
            at = part.to(problem.device)
            total += one_hot(problem.y[at], self._classes).float().T @ self._contributions(problem.x[at])
        (noise,) = self._ledger.noise(0, [total], rows)
        return total + noise

    @torch.no_grad()
    def _contributions(self, x: Tensor) -> Tensor:
        """c_i [n, c] of examples; one whose features are not finite gives nothing but its count."""
        moments = self._moments(x)
        moments = moments.where(moments.isfinite().all(1, keepdim=True), 0)
        return torch.cat([moments, moments.new_full((len(x), 1), COUNT)], 1)

    def _moments(self, x: Tensor) -> Tensor:
        """Normalised features [n, d], and with squares their normalised squares beside them, of examples [n, ...]."""
        features = self.problem.features(self.problem.decode(x))  # type: ignore[misc]
        parts = [features, features.square()] if self.squares else [features]
        return torch.cat([part / part.norm(dim=1, keepdim=True).clamp_min(1e-12) for part in parts], 1)

    def advance(self, step: int) -> dict[str, float]:
        """One step of the generator; before the first one, the release. `distance`: from the released means, squared, of an average class."""
        if self._released is None:
            self._released = self.release()
        y = torch.arange(self.batch_size, device=self.problem.device) % self._classes
        stream = generator(self.problem.seed, "augment", step)
        member = one_hot(y, self._classes).float()
        means = (member.T @ self._moments(self._images(y, stream))) / member.sum(0)[:, None]
        count = (self._released[:, -1:] / COUNT).clamp_min(FEWEST)
        distance = (means - self._released[:, :-1] / count).square().sum(1).mean()
        self._optimizer.zero_grad()
        distance.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
        self._optimizer.step()
        return {"distance": float(distance.detach())}

    def _images(self, y: Tensor, stream: torch.Generator) -> Tensor:
        z = torch.randn(len(y), self.noise_width, generator=stream, device=stream.device)
        return self._generator(z.to(y.device), y)

    def network(self) -> None:
        """There is no denoiser."""
        return None

    @torch.no_grad()
    def sample(self, y: Tensor, stream: torch.Generator) -> Tensor:
        """Examples [n, ...] of classes y [n]."""
        return self._images(y, stream)

    def state_dict(self) -> dict[str, Any]:
        """What was released, the generator and its optimizer."""
        return {
            "released": self._released,
            "generator": self._generator.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, after `begin`."""
        self._released = state["released"]
        self._generator.load_state_dict(state["generator"])
        self._optimizer.load_state_dict(state["optimizer"])


class Generator(nn.Module):
    """Noise [n, z] and a class [n] to an image [n, C, S, S]: a linear layer to a quarter of the side, twice doubled by convolutions.

    Args:
        bounded: pixels, from -1 to 1 by tanh; else latents, unbounded.
    """

    def __init__(self, classes: int, noise_width: int, width: int, shape: tuple[int, ...], bounded: bool) -> None:
        super().__init__()
        channels, side, _ = shape
        self.classes, self.small = classes, (2 * width, -(-side // 4), -(-side // 4))
        self.first = nn.Linear(noise_width + classes, math.prod(self.small))
        last: list[nn.Module] = [nn.Conv2d(width, channels, 3, padding=1), *([nn.Tanh()] if bounded else [])]
        self.rest = nn.Sequential(
            nn.SiLU(),
            nn.Upsample(size=(-(-side // 2),) * 2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.GroupNorm(1, width),
            nn.SiLU(),
            nn.Upsample(size=(side, side)),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(1, width),
            nn.SiLU(),
            *last,
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """[n, C, S, S]."""
        start = self.first(torch.cat([z, one_hot(y, self.classes).to(z.dtype)], 1))
        return self.rest(start.view(-1, *self.small))
