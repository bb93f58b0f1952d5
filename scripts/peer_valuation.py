"""Values of training points by other libraries beside ours, on the same features: `make bench-valuation`, or with ARGS="--rounds N".

GeomLoss 0.3.1 (Sinkhorn's potentials), POT (plans and converged potentials) and scikit-learn (the order of neighbours) run here; opendataval 1.3.0
(its LAVA and KNN-Shapley evaluators) in a process of its own, see peer_opendataval.py for what of it had to be left. Features are the logits of the
published ResNet-20 on CIFAR-10 with wrong labels where data/ has both, else ten Gaussian classes. Seconds are of the whole valuation, label
distances included, without the embedding.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from stopwatch import timed
from torch import Tensor

from bench.errors import UserError
from bench.run.cli import one_line
from bench.run.parser import Parser
from bench.run.paths import ROOT
from bench.tasks.valuation.metrics import spearman
from bench.tasks.valuation.protocol import Problem
from methods.valuation.batches import batches, ordered
from methods.valuation.costs import cost_blocks, diameter, label_distances
from methods.valuation.knn_shapley import KNNShapley
from methods.valuation.lava import LAVA
from methods.valuation.sava import SAVA

PEERS = ROOT / ".venv-valuation"
N, M, NEIGHBOURS = 2000, 400, 10
BATCHES = {"batch_size": 500, "reference_batch_size": 200}
CONVERGED = 50.0  # eps at which POT and we go on to the optimum; at .1 either needs tens of thousands of updates
Work = Callable[[], Tensor]


def features(root: str, seed: int = 0) -> tuple[Problem, str]:
    """N training points, 30 % of their labels wrong, and M reference points; what they are."""
    from bench.tasks.valuation.embedders import PublishedResNet20
    from bench.tasks.valuation.embedding import embed
    from datasets.valuation.gaussian import gaussian_noisy
    from datasets.valuation.noisy_images import noisy_images

    try:
        points = noisy_images(root, seed, source="cifar10", train_size=N, reference_size=M, test_size=1)
        with tempfile.TemporaryDirectory() as folder:
            x, other = embed(points, PublishedResNet20(root), folder, seed)
        name = "CIFAR-10, logits of the published ResNet-20"
    except UserError:
        points = gaussian_noisy(root, seed, train_size=N, reference_size=M)
        x, other, name = points.train_x.float(), points.reference_x.float(), "ten Gaussian classes"
    return Problem(x, points.train_y, other, points.reference_y, points.num_classes, seed), name


def ours(make: Callable[[], LAVA | SAVA | KNNShapley], p: Problem) -> Work:
    """All units of a method, in order."""

    def run() -> Tensor:
        method = make()
        for unit in range(method.begin(p)):
            method.advance(unit)
        return method.values()

    return run


class Geomloss:
    """LAVA and SAVA by GeomLoss' `SamplesLoss`: a problem for each pair of classes, then one for each pair of batches; POT's plan between these."""

    def __init__(self, p: Problem) -> None:
        from geomloss import SamplesLoss

        self.p, self.loss = p, SamplesLoss
        spread = diameter(p.x, p.reference_x)
        self.keys = {"p": 2, "blur": 0.1**0.5, "scaling": 0.5, "backend": "tensorized", "diameter": spread}

    def label_costs(self) -> Tensor:
        """[2 K, 2 K], of training labels and reference labels + K."""
        p, small = self.p, self.loss("sinkhorn", debias=False, **self.keys)
        classes = range(p.num_classes)
        w = torch.tensor(
            [[float(small(p.x[p.y == c], p.reference_x[p.reference_y == k])) for k in classes] for c in classes]
        )
        return torch.cat([torch.cat([0 * w, w], 1), torch.cat([w.T, 0 * w], 1)])

    def pair(self, both: Tensor, rows: Tensor | slice, columns: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Minus the calibrated gradients [n], and the cost."""
        p = self.p

        def cost(a: Tensor, b: Tensor) -> Tensor:
            squares = torch.cdist(a[..., :-1], b[..., :-1], compute_mode="donot_use_mm_for_euclid_dist").square()
            return (squares + both[a[0, :, -1].long()][:, b[0, :, -1].long()]) / 2

        whole = self.loss("sinkhorn", cost=cost, **self.keys)
        whole.debias, whole.potentials = False, True
        sides = (p.x[rows], p.y[rows]), (p.reference_x[columns], p.reference_y[columns] + p.num_classes)
        f, g = whole(*(torch.cat([x, y[:, None].to(x)], 1) for x, y in sides))
        n = f.numel()
        return ((f.mean() - f) * n / (n - 1)).flatten().double(), f.mean() + g.mean()

    def lava(self) -> Tensor:
        return self.pair(self.label_costs(), slice(None), slice(None))[0]

    def sava(self) -> Tensor:
        import ot

        p, both = self.p, self.label_costs()
        stretches = batches(ordered(p.y, "stratified", p.seed, 1), BATCHES["batch_size"])
        references = batches(ordered(p.reference_y, "stratified", p.seed, 2), BATCHES["reference_batch_size"])
        found = [[self.pair(both, rows, columns) for columns in references] for rows in stretches]
        costs = np.array([[float(cost) for _, cost in row] for row in found])
        plan = ot.sinkhorn(*map(ot.unif, costs.shape), costs / costs.max(), 1e-2, method="sinkhorn_log")
        values = torch.empty(len(p.x), dtype=torch.float64)
        for rows, row, weights in zip(stretches, found, plan * len(stretches)):
            values[rows] = sum(float(weight) * part for weight, (part, _) in zip(weights, row))
        return values


def by_pot(p: Problem) -> Work:
    """LAVA from POT's converged potentials at eps = CONVERGED on our cost matrix."""
    import ot

    def run() -> Tensor:
        sides = p.x, p.y, p.reference_x, p.reference_y
        distances = label_distances(*sides, p.num_classes).double()
        cost = torch.cat([part.double() for _, part in cost_blocks(*sides, distances.to(p.x))]).numpy()
        ends = map(ot.unif, cost.shape)
        _, log = ot.sinkhorn(*ends, cost, CONVERGED, method="sinkhorn_log", log=True, numItermax=10_000, stopThr=1e-9)
        f = torch.from_numpy(CONVERGED * log["log_u"])
        return (f.mean() - f) * len(f) / (len(f) - 1)

    return run


def by_neighbours(p: Problem) -> Work:
    """KNN-Shapley by its recursion in numpy, on the order of scikit-learn's NearestNeighbors."""
    from sklearn.neighbors import NearestNeighbors

    def run() -> Tensor:
        x, y, n = p.x.double().numpy(), p.y.numpy(), len(p.x)
        order = NearestNeighbors(n_neighbors=n).fit(x).kneighbors(p.reference_x.double().numpy(), return_distance=False)
        right = (y[order] == p.reference_y.numpy()[:, None]).astype(float)
        values = np.zeros(n)
        for nearest, hit in zip(order, right):
            s = hit[-1] * min(NEIGHBOURS, n) / (NEIGHBOURS * n)
            values[nearest[-1]] += s
            for i in range(n - 1, 0, -1):
                s += (hit[i - 1] - hit[i]) / NEIGHBOURS * min(NEIGHBOURS, i) / i
                values[nearest[i - 1]] += s
        return torch.from_numpy(values / len(p.reference_x))

    return run


def by_opendataval(p: Problem, rounds: int) -> dict[str, tuple[Tensor, float]]:
    """{name: values, seconds} of its evaluators, in a process that has it."""
    with tempfile.TemporaryDirectory() as folder:
        fields = {key: getattr(p, key).numpy() for key in ("x", "y", "reference_x", "reference_y")}
        np.savez(Path(folder) / "points.npz", **fields)
        command = [sys.executable, "-W", "ignore", str(ROOT / "scripts/peer_opendataval.py"), folder, str(rounds)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(PEERS)}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"opendataval ended with {done.returncode}:\n{done.stderr[-2000:]}")
        lines = dict(line.split() for line in done.stdout.splitlines())
        return {
            name: (torch.from_numpy(np.load(Path(folder) / f"{name}.npy")).double(), float(seconds))
            for name, seconds in lines.items()
        }


def measured(work: Work, rounds: int) -> tuple[Tensor, float]:
    """Values and median seconds."""
    found: list[Tensor] = []
    seconds = [timed(lambda: found.append(work())) for _ in range(rounds)]
    return found[-1].double(), statistics.median(seconds)


def rows(p: Problem, rounds: int) -> list[tuple[str, str, str, str, str]]:
    """Method, peer, Spearman's correlation of the values, seconds of ours and of theirs."""
    converged = {"schedule": "converged", "epsilon": CONVERGED, "tolerance": 1e-6}
    mine = {
        "LAVA": ours(LAVA, p),
        "SAVA": ours(lambda: SAVA(**BATCHES), p),
        f"LAVA, converged at eps {CONVERGED:g}": ours(lambda: LAVA(**converged), p),
        "KNN-Shapley": ours(lambda: KNNShapley(k=NEIGHBOURS), p),
    }
    found = {name: measured(work, rounds) for name, work in mine.items()}
    geomloss, others = Geomloss(p), by_opendataval(p, rounds)
    names = list(mine)
    theirs = [
        (names[0], f"geomloss {version('geomloss')}", measured(geomloss.lava, rounds)),
        (names[1], f"geomloss {version('geomloss')}, POT's plan between batches", measured(geomloss.sava, rounds)),
        (names[2], f"POT {version('POT')}", measured(by_pot(p), rounds)),
        (names[3], "scikit-learn's NearestNeighbors", measured(by_neighbours(p), rounds)),
        (names[0], "opendataval 1.3.0", others["lava"]),
        (names[3], "opendataval 1.3.0", others["knn_shapley"]),
    ]
    return [
        (name, peer, f"{spearman(found[name][0].numpy(), values.numpy()):.4f}", f"{found[name][1]:.2f}", f"{s:.2f}")
        for name, peer, (values, s) in theirs
    ]


@one_line
def main() -> int:
    """The table on the terminal; returns the exit code."""
    parser = Parser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", default=str(ROOT / "data"))
    chosen = parser.parse_args()
    if not (PEERS / "opendataval").is_dir():
        raise UserError("opendataval is not there; run `make bench-valuation`, which installs it apart")
    p, name = features(chosen.data)
    title = f"{name}: N = {N:,}, M = {M:,} (CPU, {torch.get_num_threads()} threads, median of {chosen.rounds})"
    table = Table(title=title, title_justify="left")
    for column in ("values", "by", "Spearman", "ours, s", "theirs, s"):
        table.add_column(column, justify="left" if column in ("values", "by") else "right")
    for row in rows(p, chosen.rounds):
        table.add_row(*row)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
