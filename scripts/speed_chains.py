"""Chains on a bounded domain: batches against a loop over chains, and how time grows with steps and chains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import torch
from stopwatch import Row, interleaved, timed

from datasets.energies.multimodal import Multimodal
from methods.sampling.langevin import ReplicaSGLD

STEPS, CHAINS = 1000, 16


def advance(chains: int, steps: int) -> Callable[[], None]:
    """`steps` steps of as many pairs on the flower, draws included."""
    target = Multimodal()
    method = ReplicaSGLD(lr=5e-4, lr_ratio=5.0, temperatures=[1.0, 10.0], reflect=True)

    @torch.no_grad()
    def run() -> None:
        g = torch.Generator().manual_seed(0)
        x = torch.zeros(2, chains, 2, dtype=torch.float64)
        method.begin(x, target.domain, steps, target.energy_variance)
        for first in range(0, steps, 256):
            count = min(256, steps - first)
            normal = torch.randn(count, 2, chains, 2, generator=g).double()
            uniform = torch.rand(count, 1, chains, generator=g, dtype=torch.float64)
            draws = target.draws([0], first, count, 2, chains)
            for t in range(count):
                draw = [part[t] for part in draws]
                x = method.step(
                    t,
                    x,
                    lambda p, d=draw: target.noisy_gradient(p, *d),
                    lambda p, d=draw: target.noisy_energy(p, *d),
                    normal[t],
                    uniform[t],
                )

    return run


def loop(chains: int, steps: int) -> Callable[[], None]:
    """The same in numpy, one pair after another, as a script would have it: the boundary by twelve bisections."""
    scale, step_sizes, temperatures = 2 / 3.5, (5e-4, 2.5e-3), (1.0, 10.0)
    delta = 1 / temperatures[1] - 1 / temperatures[0]

    def level(p: np.ndarray) -> float:
        return math.hypot(p[0], p[1]) - scale * (3 + math.sin(5 * math.atan2(p[1], p[0])))

    def mirrored(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if level(y) < 0:
            return y
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if level(x + middle * (y - x)) < 0 else (low, middle)
        b = x + low * (y - x)
        r, angle = math.hypot(b[0], b[1]), math.atan2(b[1], b[0])
        turn = 5 * scale * math.cos(5 * angle) / r
        n = np.array([b[0] + turn * b[1], b[1] - turn * b[0]])
        n /= math.sqrt(n @ n)
        image = y - 2 * ((y - b) @ n) * n
        return image if level(image) < 0 else b

    def run() -> None:
        g = np.random.default_rng(0)
        for _ in range(chains):
            x = [np.zeros(2), np.zeros(2)]
            for _ in range(steps):
                energies = []
                for k in range(2):
                    gradient = 0.4 * x[k] + 4 * np.pi * np.sin(2 * np.pi * x[k]) + 0.05 * g.standard_normal(2)
                    noise = math.sqrt(2 * step_sizes[k] * temperatures[k]) * g.standard_normal(2)
                    x[k] = mirrored(x[k], x[k] - step_sizes[k] * gradient + noise)
                    energies.append(0.2 * x[k] @ x[k] - 2 * np.cos(2 * np.pi * x[k]).sum() + 0.05 * g.standard_normal())
                if math.log(g.random()) < delta * (energies[1] - energies[0]) - delta**2 * 0.0025:
                    x.reverse()

    return run


def chains(rounds: int) -> list[Row]:
    """Pairs of r2SGLD on the flower: one batch against a numpy loop over pairs, at 16 and 1,024 pairs; growth with steps and pairs."""
    seconds = interleaved({"batch": advance(CHAINS, STEPS), "loop": loop(CHAINS, STEPS // 10)}, rounds)
    batch, single = statistics.median(seconds["batch"]), 10 * statistics.median(seconds["loop"])
    many = statistics.median(timed(advance(1024, STEPS)) for _ in range(rounds))
    double = statistics.median(timed(advance(CHAINS, 2 * STEPS)) for _ in range(rounds))
    each = 1e6 / STEPS / CHAINS
    return [
        ("numpy, a pair after another", f"{each * single:,.1f} us a step and pair", "1"),
        (
            f"a batch of {CHAINS} pairs",
            f"{each * batch:,.1f} us ({100 * batch * 1000 / STEPS:,.0f} s for 100,000 steps)",
            f"{single / batch:.1f} x",
        ),
        ("a batch of 1,024 pairs", f"{1e6 / STEPS / 1024 * many:,.2f} us", f"{single / CHAINS * 1024 / many:.0f} x"),
        (f"{CHAINS} pairs, twice the steps", f"{double:.2f} s after {batch:.2f} s", f"{double / batch:.2f} x the time"),
        ("64 times the pairs", f"{many:.2f} s after {batch:.2f} s", f"{many / batch:.1f} x the time"),
    ]
