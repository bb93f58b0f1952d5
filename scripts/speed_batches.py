"""Benchmarks of what advances many runs in one batch: portfolios, doubly stochastic descents, feature learning."""

from __future__ import annotations

import statistics
import subprocess

import torch
from stopwatch import Row, interleaved
from torch import Tensor

from bench.run.paths import ROOT

PEERS = ROOT / ".venv-peers/bin/python"
SETTINGS = 64  # step sizes or thresholds of a grid


def portfolios(rounds: int) -> list[Row]:
    """EG, PAMR and OLMAR-1 on NYSE-O against universal-portfolios in its own environment: one setting, and a grid of 64 in one batch."""
    from bench.tasks.portfolio.books import evaluate
    from datasets.markets.olps import olps
    from methods.portfolio.benchmarks import EG
    from methods.portfolio.reversion import OLMAR1, PAMR

    relatives = olps(str(ROOT / "data"), name="nyse_o").relatives[1:]  # the peer's pct_change drops the first day
    costs = torch.zeros(1, dtype=torch.float64)
    spread = torch.logspace(-0.5, 0.5, SETTINGS, dtype=torch.float64)[:, None]
    ours = {
        "EG": lambda scale: EG(eta=0.05 * scale),
        "PAMR": lambda scale: PAMR(epsilon=0.5 * scale),
        "OLMAR-1": lambda scale: OLMAR1(epsilon=10.0 * scale),
    }
    command = [str(PEERS), "-W", "ignore", str(ROOT / "scripts/peer_portfolios.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    rows = []
    with subprocess.Popen(command, **pipes) as peer:

        def theirs(name: str) -> float:
            peer.stdin.write(f"{name}\n")
            peer.stdin.flush()
            return float(peer.stdout.readline().split()[0])

        for name, make in ours.items():
            works = {
                "one": lambda make=make: evaluate(make(1.0), relatives, costs),
                "grid": lambda make=make: evaluate(make(spread), relatives, costs, settings=SETTINGS),
            }
            slow, seconds = [theirs(name) for _ in range(rounds)], interleaved(works, rounds)
            peers, one, grid = (statistics.median(v) for v in (slow, seconds["one"], seconds["grid"]))
            rows += [
                (f"{name}: universal-portfolios, one setting", f"{peers:.2f} s", "1"),
                (f"{name}: one setting", f"{one:.2f} s", f"{peers / one:.0f} x"),
                (f"{name}: {SETTINGS} settings in one batch", f"{grid:.2f} s", f"{SETTINGS * peers / grid:.0f} x"),
            ]
        peer.stdin.close()
    return rows


def paths(rounds: int) -> list[Row]:
    """Doubly SGD, 14 step sizes x 64 paths in one batch against a loop with torch.optim.SGD, one path and step size at a time."""
    from datasets.sums.quadratics import GammaQuadratics
    from methods.noisy.doubly_sgd import DoublySGD

    device = "cuda" if torch.cuda.is_available() else "cpu"
    problem, steps, lrs = GammaQuadratics(device=device, num_components=64, dim=10), 256, torch.logspace(-3.3, -1, 14)
    method = DoublySGD(64, batch_size=4)

    def draws(count: int) -> tuple[Tensor, Tensor]:
        index, eta = method.minibatches([0], 0, steps, count), method.noise([0], 0, steps, count, 10)
        return index.to(device), eta.to(device)

    def batched() -> None:
        batch = problem.batch(*draws(64))
        x = method.begin(problem.start().expand(14, 64, 10).clone(), lrs)
        for t in range(steps):
            x = method.update(x, problem.gradient(x, tuple(part[t] for part in batch)), t)

    def looped() -> None:
        index, eta = draws(1)
        x = problem.start().clone().requires_grad_()
        opt = torch.optim.SGD([x], lr=float(lrs[0]))
        for t in range(steps):
            z = x - problem.centres[index[t, 0]] + eta[t, 0].mean(-2)
            opt.zero_grad()
            (problem.curvatures[index[t, 0]] * z.square().sum(-1)).mean().div(2).backward()
            opt.step()

    seconds = interleaved({"ours": batched, "theirs": looped}, rounds)
    ours = statistics.median(14 * 64 * steps / s for s in seconds["ours"])
    theirs = statistics.median(steps / s for s in seconds["theirs"])
    return [
        ("a path at a time, autograd and torch.optim.SGD", f"{theirs:,.0f} steps/s", "1"),
        ("all paths and step sizes in one batch", f"{ours:,.0f} steps/s", f"{ours / theirs:.0f} x"),
    ]


def features(rounds: int) -> list[Row]:
    """Batch reuse on He_3, d = 32 to 256 x 4 step sizes x 16 runs of 16 neurons in one batch, against a run at a time, a step at a time."""
    from bench.tasks.feature_learning.cells import pad
    from bench.tasks.feature_learning.one_pass import advance, one_thread
    from bench.tasks.feature_learning.two_layer import Neurons, TwoLayer
    from datasets.teachers.single_index import single_index
    from methods.two_layer.reuse_sgd import LookaheadSGD

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dims, replicates, count, lrs = [32, 64, 128, 256], 16, 128, torch.tensor([[0.05], [0.1], [0.2], [0.4]]).double()
    model = single_index(d=dims).to(device)
    network = TwoLayer(width=16, activation="relu", bias="normal", second_layer="signs", output="mean", start="uniform")
    theta = {d: model.directions([0], replicates, d) for d in dims}
    start = {d: network.weights([0], replicates, d, theta[d]) for d in dims}
    neurons = {d: network.neurons([0], replicates, d, model.target, device) for d in dims}

    def method(lr: Tensor | float) -> LookaheadSGD:
        common = {"geometry": "sphere", "loss": "correlation", "batch_size": 1, "fresh": True, "steps": None}
        return LookaheadSGD(lr=lr, lr_power=1.0, inner_lr=1.0, keep_first=True, **common)

    def batched() -> None:
        ours = method(lrs.to(device))
        column = torch.tensor([float(d) for d in dims for _ in range(replicates)], device=device, dtype=torch.float64)
        ours.begin(Neurons.joined(list(neurons.values())), model.target, column.reshape(-1, 1, 1))
        w = torch.cat([pad(start[d], 256) for d in dims]).expand(len(lrs), -1, -1, -1)
        directions = torch.cat([pad(theta[d], 256) for d in dims])
        progress = torch.zeros(32, len(column), 1, 1, device=device)
        for block in range(count // 32):
            made = [model.labelled([0], replicates, d, block + 1, 32, theta[d]) for d in dims]
            x, y = torch.cat([pad(x, 256) for x, _ in made]), torch.cat([y for _, y in made])
            w, _ = advance(ours, w, directions, x, y, progress)

    def looped() -> None:
        for d in dims:  # one run of one step size each; the time of a step is what counts
            w, a, b = start[d][0], neurons[d].a[0, :, 0], neurons[d].b[0, :, 0]
            for _ in range(count):
                x = torch.randn(d, device=device).double()
                y = model.target.value((theta[d][0] @ x)[None])
                h = w @ x
                g = a * (h + b > 0) * y
                moved = h + g * (x @ x - h * h) / d
                psi = g + a * (moved + b > 0) * y
                w = w + 0.1 / d * psi[:, None] * (x - h[:, None] * w)
                w = w / w.norm(dim=-1, keepdim=True)

    with one_thread(device):
        seconds = interleaved({"ours": batched, "theirs": looped}, rounds)
    ours = statistics.median(len(dims) * len(lrs) * replicates * count / s for s in seconds["ours"])
    theirs = statistics.median(len(dims) * count / s for s in seconds["theirs"])
    return [
        ("a run at a time, a step at a time", f"{theirs:,.0f} steps/s", "1"),
        ("all dimensions, step sizes and runs in one batch", f"{ours:,.0f} steps/s", f"{ours / theirs:.0f} x"),
    ]
