"""Speed, side by side in one run, medians over interleaved rounds: `python scripts/speed.py [names out of BENCHMARKS] [--rounds N]`."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.augment import Augmenter
from bench.config import ROOT
from bench.seeding import generator

Row = tuple[str, str, str]


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes; on a GPU until it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for k in range(rounds + 1):
        for name, work in works.items():
            spent = timed(work)
            if k:
                seconds[name].append(spent)
    return seconds


def cifar_images(count: int) -> Tensor:
    """CIFAR-10 training images if they are at hand, else random ones of the same shape, uint8 [N, 3, 32, 32]."""
    from bench.errors import UserError
    from datasets.cifar import cifar10

    try:
        return cifar10(str(ROOT / "data"), 0, train_size=count).train_x
    except UserError:
        return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def augment(rounds: int) -> list[Row]:
    """Random crop, flip and normalisation: batches on the device against torchvision's transforms in a DataLoader with 2 workers."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from datasets.vision import torchvision

    images, mean, std = cifar_images(20_000), [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
    transforms = torchvision().transforms
    pictures = [Image.fromarray(x) for x in images.permute(0, 2, 3, 1).numpy()]
    steps = [
        transforms.RandomCrop(32, 4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    pipeline = transforms.Compose(steps)

    class Pictures(Dataset):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> Tensor:
            return pipeline(pictures[index])

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = Augmenter(images.to(device), mean, std, crop_padding=4, flip=True)
    loader = DataLoader(Pictures(), batch_size=128, shuffle=True, num_workers=2, persistent_workers=True)
    order = torch.randperm(len(images), device=device)

    def batches() -> None:
        for k, chosen in enumerate(order.split(128)):
            ours.batch(chosen, generator(0, "augment", k, device=device))

    seconds = interleaved({"ours": batches, "theirs": lambda: [None for _ in loader]}, rounds)
    ours_rate = statistics.median(len(images) / s for s in seconds["ours"])
    their_rate = statistics.median(len(pictures) / s for s in seconds["theirs"])
    return [
        ("torchvision transforms, DataLoader, 2 workers", f"{their_rate:,.0f} images/s", "1"),
        ("batches on the device (bench.augment)", f"{ours_rate:,.0f} images/s", f"{ours_rate / their_rate:.1f} x"),
    ]


def step(rounds: int) -> list[Row]:
    """A ResNet-18 step of SSVR against one of SGD with momentum at equal batch, and the share of SSVR's own arithmetic."""
    from torch.nn.functional import cross_entropy

    from bench.models import resnet18
    from methods.baselines import SGD
    from methods.ssvr import SSVR

    cuda = torch.cuda.is_available()
    device, batch = ("cuda", 256) if cuda else ("cpu", 64)
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,), device=device)
    spent = {"passes": 0.0}

    def stepper(make: Callable) -> Callable[[], object]:
        model = resnet18(3, 10, 32).to(device, memory_format=torch.channels_last)
        opt = make(model)

        def closure() -> Tensor:
            start = time.perf_counter()
            opt.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=cuda):
                loss = cross_entropy(model(x), y)
            loss.backward()
            if cuda:
                torch.cuda.synchronize()
            spent["passes"] += time.perf_counter() - start
            return loss

        return lambda: opt.step(closure)

    works = {
        "sgd": stepper(lambda m: SGD(m.parameters(), lr=0.1)),
        "ssvr": stepper(lambda m: SSVR(m.parameters(), m.buffers(), lr=1e-3, beta=0.5)),
    }
    works["ssvr"]()  # its first step has one pass
    seconds = interleaved(works, rounds)
    spent["passes"] = 0.0
    total = sum(timed(works["ssvr"]) for _ in range(rounds))
    ratio = statistics.median(a / b for a, b in zip(seconds["ssvr"], seconds["sgd"]))
    return [
        (
            f"SGD with momentum, ResNet-18, batch {batch}",
            f"{1e3 * statistics.median(seconds['sgd']):.1f} ms a step",
            "1",
        ),
        ("SSVR", f"{1e3 * statistics.median(seconds['ssvr']):.1f} ms a step", f"{ratio:.2f} x"),
        (
            "SSVR: optimizer arithmetic",
            f"{1e3 * (total - spent['passes']) / rounds:.1f} ms a step",
            f"{1 - spent['passes'] / total:.1%} of its step",
        ),
    ]


def verdicts(rounds: int) -> list[Row]:
    """The verdict pass over at least 10,000 results: the committed runs and papers, as often as it takes, each copy under its own name."""
    from bench.archive import read_records, write_records
    from bench.claims import judge_all
    from bench.papers import load_papers

    records = [r for r in read_records(ROOT / "results/runs.csv") if r.ended]
    copies = -(-10_000 // len(records))
    many, papers = [], {}
    for k in range(copies):
        many += [
            dataclasses.replace(r, key=f"{k}{r.key}", experiments=tuple(f"{k}{e}" for e in r.experiments))
            for r in records
        ]
        for name, paper in load_papers().items():
            moved = {key: c.model_copy(update={"experiment": f"{k}{c.experiment}"}) for key, c in paper.claims.items()}
            papers[f"{k}{name}"] = paper.model_copy(update={"claims": moved})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        write_records(path, many)
        works = {
            "read runs.csv": lambda: read_records(path),
            f"judge {len(papers)} papers at two scales": lambda: judge_all(papers, many, ["mini", "paper"]),
        }
        seconds = interleaved(works, rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    total = sum(medians.values())
    return [(f"{len(many):,} results: {name}", f"{s:.2f} s", f"{s / total:.0%}") for name, s in medians.items()]


SETTINGS = 64  # step sizes or thresholds of a grid


def portfolios(rounds: int) -> list[Row]:
    """EG, PAMR and OLMAR-1 on NYSE-O against universal-portfolios in its own environment: one setting, and a grid of 64 in one batch."""
    from bench.books import evaluate
    from datasets.prices import olps
    from methods.benchmarks import EG
    from methods.reversion import OLMAR1, PAMR

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


PEERS = ROOT / ".venv-peers/bin/python"


def paths(rounds: int) -> list[Row]:
    """Doubly SGD, 14 step sizes x 64 paths in one batch against a loop with torch.optim.SGD, one path and step size at a time."""
    from datasets.noisy_sums import GammaQuadratics
    from methods.doubly_sgd import DoublySGD

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
    from bench.directions import pad
    from bench.models.two_layer import TwoLayer
    from bench.one_pass import advance, one_thread
    from datasets.single_index import single_index
    from methods.reuse_sgd import LookaheadSGD

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dims, replicates, count, lrs = [32, 64, 128, 256], 16, 128, torch.tensor([[0.05], [0.1], [0.2], [0.4]]).double()
    model = single_index(d=dims).to(device)
    network = TwoLayer(width=16, activation="relu", bias="normal", second_layer="signs", output="mean", start="uniform")
    theta = {d: model.directions([0], replicates, d) for d in dims}
    start = {d: network.weights([0], replicates, d, theta[d]) for d in dims}
    neurons = {d: network.neurons([0], replicates, [d], model.target, device) for d in dims}

    def method(lr: Tensor | float) -> LookaheadSGD:
        common = {"geometry": "sphere", "loss": "correlation", "batch_size": 1, "fresh": True, "steps": None}
        return LookaheadSGD(lr=lr, lr_power=1.0, inner_lr=1.0, keep_first=True, **common)

    def batched() -> None:
        ours = method(lrs.to(device))
        column = torch.tensor([float(d) for d in dims for _ in range(replicates)], device=device, dtype=torch.float64)
        ours.begin(network.neurons([0], replicates, dims, model.target, device), model.target, column.reshape(-1, 1, 1))
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


BENCHMARKS = {
    "augment": augment,
    "step": step,
    "verdicts": verdicts,
    "portfolios": portfolios,
    "paths": paths,
    "features": features,
}


def main() -> None:
    """Run the benchmarks named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"out of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; allowed: {', '.join(BENCHMARKS)}")
    names = chosen.names or [name for name in BENCHMARKS if name != "portfolios" or PEERS.exists()]
    if "portfolios" in names and not PEERS.exists():
        parser.error(
            "portfolios: universal-portfolios is not there; run `make bench-portfolios`, which installs it apart"
        )
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    for name in names:
        benchmark = BENCHMARKS[name]
        table = Table(title=f"{name}: {benchmark.__doc__} ({place}, median of {chosen.rounds})", title_justify="left")
        for column in ("what", "speed", "ratio"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for row in benchmark(chosen.rounds):
            table.add_row(*row)
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
