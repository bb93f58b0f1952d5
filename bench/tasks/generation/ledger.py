"""What is drawn from private data and what it has cost: the one source of private batches and of the noise that makes a release private.

A release is a clipped sum over a Poisson batch plus N(0, (sigma C)^2) in each coordinate. Privacy is that of one example (an image) that is added
to or removed from the data; n, the batch size, the settings and the number of releases are public, and how settings were chosen is not charged.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.generation.accounting import Accountant, epsilon
from bench.tasks.generation.gaussian_noise import gaussian
from bench.tasks.generation.poisson import poisson_batch

SAMPLING = "poisson"
UNIT = "one private image added or removed"
RELEASES = 97  # of streams: of batches and noise alone, so that nothing else that is drawn tells of either
CLIPS = (1e-30, 1e30)  # beyond them noise or its square is no number of 32 bits
ONCE = 1e-9  # probability below which draws are not of the law that the accountant assumes
ROUNDING = 1e-9  # of an epsilon, relative


class Refused(UserError):
    """What was recorded is not what the accountant assumes: no epsilon is stated, nothing is released."""


class Ledger:
    """The releases of one run, written to `journal` before their noise is handed out.

    A release belongs to a step. One that was made by a process that was killed before it saved is spent: when the step is taken again its
    batch and its noise are drawn anew, and the number of releases stays within `steps`, so that epsilon stays within its target.

    Args:
        n: private examples.
        rate: q, an example's probability of being in a batch.
        noise_multiplier: sigma; 0: no privacy.
        clip: C, the largest norm of an example's contribution.
        steps: releases that the noise was calibrated for.
        delta: of the guarantee; below 1, and if it is above 1 / n `notice` says so.
        target_epsilon: the budget; None: none was set.
        seed: of batches and noise by the named streams "order" and "noise"; not used where secure.
        secure: batches and noise from the operating system's generator; there is no seed to store, and a run cannot be repeated.
        accountant: as in `accounting`.
        journal: a file, made when the first release is; None: releases are kept in memory alone.

    Raises:
        UserError: a value outside its range. Refused: the journal is of other settings.
    """

    def __init__(
        self,
        n: int,
        rate: float,
        noise_multiplier: float,
        clip: float,
        steps: int,
        delta: float,
        target_epsilon: float | None = None,
        seed: int = 0,
        secure: bool = False,
        accountant: Accountant = "prv",
        journal: Path | None = None,
    ) -> None:
        if n < 1:
            raise UserError("the data set has no private examples; at least one")
        if not CLIPS[0] <= clip <= CLIPS[1]:
            raise UserError(
                f"clip = {clip}: the largest norm of an example's gradient; from {CLIPS[0]:g} to {CLIPS[1]:g}"
            )
        epsilon(rate, noise_multiplier, 0, delta)  # their ranges
        self.n, self.rate, self.noise_multiplier, self.clip, self.steps = n, rate, noise_multiplier, clip, steps
        self.delta, self.target_epsilon, self.accountant = delta, target_epsilon, accountant
        self.seed, self.secure, self.journal = seed, secure, journal
        self._releases: list[dict[str, Any]] = _read(journal) if journal is not None else []
        self._made = Counter(release.get("step") for release in self._releases)
        self._drawn: dict[int, Tensor] = {}  # batches whose release is still to come
        self._sampled = self._batches = self._normals = 0
        self._squares = 0.0
        self._check_releases()

    @property
    def expected_batch(self) -> float:
        """q n, by which a sum is divided, whatever the batch's size."""
        return self.rate * self.n

    @property
    def released(self) -> int:
        """Releases made, those of killed processes among them."""
        return len(self._releases)

    @property
    def left(self) -> int:
        """Releases that the budget still has."""
        return max(0, self.steps - self.released)

    @property
    def notice(self) -> str | None:
        """What a person should know of the guarantee."""
        if self.noise_multiplier and self.delta > 1 / self.n:
            return f"delta = {self.delta:g}: above 1 / {self.n}, so that publishing a random example whole would be allowed; use less"
        return None

    def batch(self, step: int) -> Tensor:
        """Indices [b], int64, ascending, on the CPU; the same until the step's noise is handed out, then drawn anew."""
        if step not in self._drawn:
            self._drawn[step] = poisson_batch(self.n, self.rate, self._stream("order", step))
            self._sampled += len(self._drawn[step])
            self._batches += 1
        return self._drawn[step]

    def passed(self, step: int) -> None:
        """The step makes no release: its batch is forgotten."""
        self._drawn.pop(step, None)

    def noise(self, step: int, like: Sequence[Tensor], rows: Tensor | None = None) -> list[Tensor]:
        """N(0, (sigma C)^2) in the shapes of `like`, for the release of a step's batch, once; it is in the journal before this returns.

        Args:
            like: the clipped sums, on one device.
            rows: indices of the examples in them, each as often as it was added; None: those of the batch.

        Raises:
            Refused: the batch is none of this ledger's, was used before or is not what was summed, or the budget is spent.
        """
        drawn = self._drawn.get(step)
        if drawn is None:
            raise Refused(
                f"step {step}: a release without a Poisson batch of its own, which has no epsilon; draw it by ledger.batch({step})"
            )
        if rows is not None and not torch.equal(rows.cpu().sort().values, drawn):
            raise Refused(
                f"step {step}: the sum is not over the Poisson batch, each example once; sum over ledger.batch({step})"
            )
        if not self.left:
            raise Refused(
                f"step {step}: the {self.steps} releases that the noise was calibrated for are made; more would exceed the budget"
            )
        stream = self._stream("noise", step, like[0].device if like else "cpu")
        self._record({"step": step, **self._terms()})
        del self._drawn[step]
        noise = gaussian(like, self.noise_multiplier * self.clip, stream)
        self._squares += sum(float(one.double().square().sum()) for one in noise)
        self._normals += sum(one.numel() for one in noise)
        return noise

    def epsilon(self) -> float:
        """What the releases so far have cost at `delta`, an upper bound; infinite where there is no noise.

        Raises:
            Refused: releases, batches or noise are not what the accountant assumes, or the cost is above the target.
        """
        if self.noise_multiplier == 0:
            return math.inf
        self._check_releases()
        self._check_draws()
        spent = epsilon(self.rate, self.noise_multiplier, self.released, self.delta, self.accountant)
        if self.target_epsilon is not None and spent > self.target_epsilon * (1 + ROUNDING):
            raise Refused(
                f"epsilon = {self.target_epsilon:g}: {self.released} releases at rate {self.rate:.4g} with noise_multiplier = "
                f"{self.noise_multiplier:.4g} cost {spent:.4g}; calibrate the noise for this rate, number of steps and accountant"
            )
        return spent

    def _terms(self) -> dict[str, Any]:
        return {
            "sampling": SAMPLING,
            "n": self.n,
            "rate": self.rate,
            "noise_multiplier": self.noise_multiplier,
            "clip": self.clip,
        }

    def _stream(self, name: Any, step: int, device: torch.device | str = "cpu") -> torch.Generator | None:
        """Of the step's next release: each time that it is made counts."""
        return None if self.secure else generator(self.seed, name, RELEASES, step, self._made[step], device=device)

    def _record(self, release: dict[str, Any]) -> None:
        if self.journal is not None:
            _append(self.journal, release)
        self._releases.append(release)
        self._made[release["step"]] += 1

    def _check_releases(self) -> None:
        terms = self._terms()
        for release in self._releases:
            for key, value in terms.items():
                if release.get(key) != value:
                    where = "" if self.journal is None else f" in {self.journal}"
                    raise Refused(
                        f"{key} = {value}: a release{where} has {release.get(key)}; no epsilon is stated for both together, "
                        "so use the same settings, or a new folder for results"
                    )

    def _check_draws(self) -> None:
        """Batch sizes and noise of this process against the laws that the accountant assumes, exactly."""
        from scipy.stats import binom, chi2

        trials = self.n * self._batches
        low, high = binom.cdf(self._sampled, trials, self.rate), binom.sf(self._sampled - 1, trials, self.rate)
        if trials and min(low, high) < ONCE:
            raise Refused(
                f"rate = {self.rate:.4g}: batches had {self._sampled} of {trials} examples; no epsilon for another sampling"
            )
        square = self._squares / (self.noise_multiplier * self.clip) ** 2
        if self._normals and min(chi2.cdf(square, self._normals), chi2.sf(square, self._normals)) < ONCE:
            had = math.sqrt(square / self._normals) * self.noise_multiplier
            raise Refused(
                f"noise_multiplier = {self.noise_multiplier:.4g}: the noise had {had:.4g}; no epsilon for what was not added"
            )


def _read(journal: Path) -> list[dict[str, Any]]:
    """Releases of a journal. A line that a kill cut short was never handed out; it is cut off.

    Raises:
        Refused: a line is no release.
    """
    if not journal.exists():
        return []
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with open(journal, "r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    try:
        releases = [json.loads(line) for line in whole.splitlines()]
    except ValueError:
        releases = [None]
    if not all(isinstance(release, dict) for release in releases):
        raise Refused(
            f"{journal}: not a journal of releases, so that what was spent is unknown; start again in a new folder for results"
        )
    return releases  # type: ignore[return-value]


def _append(journal: Path, release: dict[str, Any]) -> None:
    """A line, on the disk when this returns."""
    new = not journal.exists()
    with open(journal, "ab") as file:
        file.write(json.dumps(release).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        folder = os.open(journal.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
