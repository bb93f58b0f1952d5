"""Speed, side by side in one run, medians over interleaved rounds: `python scripts/speed.py [names out of BENCHMARKS] [--rounds N]`."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.table import Table
from speed_batches import PEERS, features, paths, portfolios
from speed_chains import chains
from speed_mixing import mixing
from speed_private import private
from speed_valuation import valuation
from speed_votes import votes
from stopwatch import Row, interleaved, timed
from torch import Tensor

from bench.errors import UserError
from bench.run.cli import one_line
from bench.run.parser import Parser
from bench.run.paths import ROOT
from bench.seeding import generator
from bench.tasks.classification.augment import Augmenter


def cifar_images(count: int) -> Tensor:
    """CIFAR-10 training images if they are at hand, else random ones of the same shape, uint8 [N, 3, 32, 32]."""
    from datasets.images.cifar import cifar10

    try:
        return cifar10(str(ROOT / "data"), 0, train_size=count).train_x
    except UserError:
        return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def augment(rounds: int) -> list[Row]:
    """Random crop, flip and normalisation: batches on the device against torchvision's transforms in a DataLoader with 2 workers."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from datasets.images.vision import torchvision

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
        (
            "batches on the device (bench.tasks.classification.augment)",
            f"{ours_rate:,.0f} images/s",
            f"{ours_rate / their_rate:.1f} x",
        ),
    ]


def step(rounds: int) -> list[Row]:
    """A ResNet-18 step of SSVR against one of SGD with momentum at equal batch, and the share of SSVR's own arithmetic."""
    from torch.nn.functional import cross_entropy

    from bench.models import resnet18
    from methods.sign.baselines import SGD
    from methods.sign.ssvr import SSVR

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
    from bench.judge.archive import read_all, read_archive, text_of, write_archive
    from bench.judge.claims import judge_all
    from bench.judge.papers import load_papers

    records = [r for r in read_all(ROOT / "results") if r.ended]
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
        path = Path(folder) / "all.jsonl.xz"
        write_archive(path, text_of(many))
        works = {
            "read the archive": lambda: read_archive(path),
            f"judge {len(papers)} papers at two scales": lambda: judge_all(papers, many, ["mini", "paper"]),
        }
        seconds = interleaved(works, rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    total = sum(medians.values())
    return [(f"{len(many):,} results: {name}", f"{s:.2f} s", f"{s / total:.0%}") for name, s in medians.items()]


BENCHMARKS = {
    "augment": augment,
    "step": step,
    "verdicts": verdicts,
    "portfolios": portfolios,
    "paths": paths,
    "features": features,
    "chains": chains,
    "valuation": valuation,
    "mixing": mixing,
    "private": private,
    "votes": votes,
}


@one_line
def main() -> int:
    """Run the benchmarks named, or all; returns the exit code."""
    parser = Parser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"out of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        raise UserError(f"unknown benchmark {', '.join(sorted(unknown))}; allowed: {', '.join(BENCHMARKS)}")
    names = chosen.names or [name for name in BENCHMARKS if name != "portfolios" or PEERS.exists()]
    if "portfolios" in names and not PEERS.exists():
        raise UserError(
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
