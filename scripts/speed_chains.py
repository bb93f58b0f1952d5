"""Chains on a bounded domain: batches against a loop over chains, and how time grows with steps and chains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stopwatch import Row, interleaved, timed

from bench.tasks.sampling.compiled import Compiled, advance
from bench.tasks.sampling.loop import BLOCK, CHUNK
from bench.tasks.sampling.protocol import Draws
from datasets.energies.multimodal import Multimodal
from methods.sampling.langevin import ReplicaSGLD

STEPS, CHAINS, MANY = 1024, 16, 1024


def batch(chains: int, steps: int, call: Callable[..., Any] = advance) -> Callable[[], None]:
    """`steps` steps of as many pairs on the flower, draws included, one by one, or compiled in blocks."""
    target, block = Multimodal(), 1 if call is advance else BLOCK
    method = ReplicaSGLD(lr=5e-4, lr_ratio=5.0, temperatures=[1.0, 10.0], reflect=True)

    @torch.no_grad()
    def run() -> None:
        g = torch.Generator().manual_seed(0)
        x = torch.zeros(2, chains, 2, dtype=torch.float64)
        method.begin(x, target.domain, steps, target.energy_variance)
        for first in range(0, steps, CHUNK):
            normal = torch.randn(CHUNK, 2, chains, 2, generator=g).double()
            uniform = torch.rand(CHUNK, 1, chains, generator=g, dtype=torch.float64)
            draws = Draws(normal, uniform, target.draws([0], first, CHUNK, 2, chains))
            for t in range(0, CHUNK, block):
                x = call(method, target, 0, x, draws.part(t, t + block), None)[0]

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
    """Pairs of r2SGLD on the flower: a batch, and the same compiled, against a numpy loop over pairs; growth with steps and pairs."""
    compiled = Compiled(advance)
    begun = timed(batch(CHAINS, CHUNK, compiled))
    works = {
        "loop": loop(CHAINS, STEPS),
        "alone": batch(1, STEPS),
        "batch": batch(CHAINS, STEPS),
        "compiled": batch(CHAINS, STEPS, compiled),
        "compiled, longer": batch(CHAINS, 2 * STEPS, compiled),
        "batch, many": batch(MANY, STEPS),
        "compiled, many": batch(MANY, STEPS, compiled),
    }
    seconds = {name: statistics.median(found) for name, found in interleaved(works, rounds).items()}
    each = {
        name: 1e6 * value / STEPS / (MANY if "many" in name else 1 if name == "alone" else CHAINS)
        for name, value in seconds.items()
    }

    def row(label: str, name: str) -> Row:
        whole = f" ({1e5 * seconds[name] / STEPS:,.1f} s for 100,000 steps)"
        return label, f"{each[name]:,.2f} us a step and pair{whole}", f"{each['loop'] / each[name]:,.1f} x"

    def growth(label: str, after: str, before: str) -> Row:
        return (
            label,
            f"{seconds[after]:.2f} s after {seconds[before]:.2f} s",
            f"{seconds[after] / seconds[before]:.1f} x the time",
        )

    return [
        row(f"numpy, {CHAINS} pairs one after another", "loop"),
        row("one pair by the suite's step", "alone"),
        row(f"a batch of {CHAINS} pairs", "batch"),
        row(f"the same compiled, {BLOCK} steps a call", "compiled"),
        row(f"a batch of {MANY:,} pairs", "batch, many"),
        row("the same compiled", "compiled, many"),
        ("compiling, once a run", f"{begun:.1f} s", ""),
        growth("compiled, twice the steps", "compiled, longer", "compiled"),
        growth(f"{MANY // CHAINS} times the pairs", "batch, many", "batch"),
        growth(f"compiled, {MANY // CHAINS} times the pairs", "compiled, many", "compiled"),
    ]
