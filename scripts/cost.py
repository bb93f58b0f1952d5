"""Write docs/cost.md's tables: what paper scale costs, by experiment, from configs and archives: `python scripts/cost.py [--check] [--rate 3e14]`.

Runs whose protocol is the same at mini scale have ended on CPUs: their seconds are the archive's. Of those that train networks on images the
operations are counted: of a forward pass on the network without values, three times that for a gradient, times the gradients of an epoch, which
runs at mini scale counted for each method, times the epochs of the config. Private tuning is counted as by scripts/gpu_hours.py.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gpu_hours
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import UserError
from bench.judge.archive import Record, read_all
from bench.judge.papers import idle, load_papers
from bench.judge.plan import experiments, jobs
from bench.run.atomic import write_atomic
from bench.run.build import build
from bench.run.cli import one_line
from bench.run.job import Job
from bench.run.parser import Parser
from bench.run.paths import ROOT
from bench.run.sweep import of_experiment

PAGE = ROOT / "docs/cost.md"
MARKERS = ("<!-- tables: written by `python scripts/cost.py` -->", "<!-- end of tables -->")
IMAGES = {  # channels, side, classes, training and test images of the whole set
    "digits": (1, 8, 10, 1_437, 360),
    "cifar100": (3, 32, 100, 50_000, 10_000),
    "cifar10": (3, 32, 10, 50_000, 10_000),
    "tiny_imagenet": (3, 64, 200, 100_000, 10_000),
}
PRIVATE = {"dplora/mnist", "dplora/cifar10", "dplora/celeba64", "dplora/celebahq"}  # as shape_<name> of dplora/budget
NETWORKS = ("classification", "vote_images")
FLEETS = (1, 8, 64)  # GPUs
LEAST = 0.01  # hours; an experiment below that needs no GPU and is left out


@dataclass(frozen=True)
class Line:
    """An experiment at paper scale. cpu: hours of the runs that ended on CPUs; gpu: hours of each other job, all its seeds; unknown: runs of which
    nothing tells."""

    name: str
    runs: int
    cpu: float
    gpu: tuple[float, ...]
    unknown: int


def lines(names: Iterable[str], rate: float) -> list[Line]:
    """The experiments that have runs at paper scale.

    Args:
        rate: operations a second of a network's training.
    """
    records = [record for record in read_all(ROOT / "results") if record.ended]
    nothing, found = idle(load_papers().values()), []
    for name in names:
        if (name, "paper") not in nothing:
            found.append(_line(name, list(jobs(name, "paper")), records, rate))
    return found


def _line(name: str, planned: Sequence[Job], records: Sequence[Record], rate: float) -> Line:
    ended = {(r.key, r.seed): r.seconds for r in records}
    by_key: dict[str, list[float]] = defaultdict(list)
    for record in records:
        by_key[record.key].append(record.seconds or 0.0)
    cpu, gpu, unknown = 0.0, [], 0
    for job in planned:
        seeds = len(job.settings.seeds)
        if all((job.key, seed) in ended for seed in job.settings.seeds):
            cpu += sum(ended[job.key, seed] or 0.0 for seed in job.settings.seeds)
        elif job.key in by_key:
            cpu += median(by_key[job.key]) * seeds
        elif (seconds := _seconds(name, job, records, rate)) is not None:
            gpu.append(seconds * seeds / 3600)
        else:
            unknown += seeds
    return Line(name, sum(len(j.settings.seeds) for j in planned), cpu / 3600, tuple(gpu), unknown)


def _seconds(name: str, job: Job, records: Sequence[Record], rate: float) -> float | None:
    """Of one seed on a GPU; None where nothing tells."""
    if name in PRIVATE:
        return _private(name, job)
    dataset = next((word for word in IMAGES if job.names["dataset"].startswith(word)), None)
    if job.names["task"] not in NETWORKS or dataset is None:
        return None
    task, data = job.parts["task"], job.parts["dataset"]
    channels, side, classes, train, test = IMAGES[dataset]
    classes = len(data.get("classes") or range(classes))
    train, test = data.get("train_size") or train, data.get("test_size") or test
    evaluations = _gradients(job, records)
    if evaluations is None:
        return None
    forward = _forward(job, channels, classes, side)
    measured = test * task["epochs"] / task["evaluate_every"]
    return forward * (3 * evaluations * train * task["epochs"] + measured) / rate


def _gradients(job: Job, records: Sequence[Record]) -> float | None:
    """Gradients of an image in an epoch, as runs of the same method and number of interpolations counted at any scale."""
    found = []
    for record in records:
        task, data = record.config["task"], record.config["dataset"]
        same = record.method == job.names["method"] and record.config["method"].get("k") == job.parts["method"].get("k")
        images = data.get("train_size") or IMAGES.get(record.dataset, (0,) * 5)[3]
        if same and images and task.get("epochs") and record.metrics.get("gradient_evaluations"):
            found.append(record.metrics["gradient_evaluations"] / (task["epochs"] * images))
    return median(found) if found else None


@cache
def _passes(node: str, channels: int, classes: int, side: int) -> float:
    with torch.device("meta"):
        network = build("model", json.loads(node), channels, classes, side)
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            network(torch.empty(gpu_hours.ROWS, channels, side, side))
    return counted.get_total_flops() / gpu_hours.ROWS


def _forward(job: Job, channels: int, classes: int, side: int) -> float:
    """Operations of one image's pass."""
    return _passes(json.dumps(job.parts["model"], sort_keys=True, default=str), channels, classes, side)


@cache
def _shapes() -> dict[str, tuple[float, int]]:
    """By setting of private tuning, operations of a pass and the number of private images."""
    found = {}
    for job in of_experiment("dplora/budget", ("scale=mini",)):
        found[job.names["dataset"].removeprefix("shape_")] = gpu_hours.forward(job), job.parts["dataset"]["examples"]
    return found


def _private(name: str, job: Job) -> float:
    """Private steps in fp32, samples in bf16. The public network is trained once for all of an experiment's jobs, and not in this."""
    forward, examples = _shapes()[name.partition("/")[2]]
    method, task = job.parts["method"], job.parts["task"]
    images = method["steps"] * method["batch_size"] if method.get("steps") else method["epochs"] * examples
    steps = 3 * forward * images * method["noise_multiplicity"] / gpu_hours.TF32
    return steps + forward * task["samples"] * task["sampling_steps"] / gpu_hours.BF16


def public(name: str) -> float:
    """Hours of the public network of a setting of private tuning."""
    forward, _ = _shapes()[name.partition("/")[2]]
    return 3 * forward * gpu_hours.PUBLIC_STEPS * gpu_hours.PUBLIC_BATCH / gpu_hours.BF16 / 3600


def makespan(hours: Iterable[float], machines: int) -> float:
    """Hours until the last job ends, where each free machine takes the longest job that is left."""
    free = [0.0] * machines
    for own in sorted(hours, reverse=True):
        heapq.heapreplace(free, free[0] + own)
    return max(free)


def tables(found: Sequence[Line]) -> str:
    """The experiments that need a GPU, the papers on CPUs, and all jobs over GPUs."""
    rows = ["| experiment | runs | GPU hours | longest job | public network |", "|---|---|---|---|---|"]
    every: list[float] = []
    for line in found:
        if sum(line.gpu) > LEAST:
            extra = public(line.name) if line.name in PRIVATE else 0.0
            every += [*line.gpu, *([extra] if extra else [])]
            cells = (f"`{line.name}`", line.runs, _h(sum(line.gpu)), _h(max(line.gpu)), _h(extra) if extra else "")
            rows.append(f"| {' | '.join(map(str, cells))} |")
    fleet = ["| GPUs | until the last job ends | bound by |", "|---|---|---|"]
    for machines in FLEETS:
        last = makespan(every, machines)
        bound = "the longest job" if last < 1.05 * max(every, default=0.0) else "the number of GPUs"
        fleet.append(f"| {machines} | {_h(last)} | {bound} |")
    rest = ["| paper | runs that need no GPU: hours of a CPU core | runs of which nothing tells |", "|---|---|---|"]
    for paper in dict.fromkeys(line.name.split("/")[0] for line in found):
        own = [line for line in found if line.name.split("/")[0] == paper]
        told = ", ".join(f"`{line.name}` {line.unknown}" for line in own if line.unknown)
        rest.append(f"| {paper} | {_h(sum(line.cpu for line in own))} | {told} |")
    total = f"All together {_h(sum(every))} in {len(every)} jobs."
    return "\n".join([*rows, "", total, "", *fleet, "", *rest])


def _h(hours: float) -> str:
    """`0.3 h`, `12 h`, `1,200 h`."""
    if hours >= 10:
        return f"{float(f'{hours:.2g}'):,.0f} h"
    return f"{hours:.2g} h" if hours >= 0.1 else f"{60 * hours:.1g} min"


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not what this gives")
    parser.add_argument(
        "--rate", type=float, help="operations a second of a network's training on your GPU; prints, writes nothing"
    )
    args = parser.parse_args()
    if args.rate is not None and not 0 < args.rate < float("inf"):
        raise UserError(f"--rate {args.rate}: operations a second, above 0")
    made = tables(lines(experiments(), args.rate or gpu_hours.BF16))
    if args.rate:
        print(made)
        return 0
    text = PAGE.read_text(encoding="utf-8")
    block = "\n".join((MARKERS[0], made, MARKERS[1]))
    new = re.sub(re.escape(MARKERS[0]) + ".*?" + re.escape(MARKERS[1]), lambda _: block, text, flags=re.S)
    if args.check:
        return int(new != text)
    write_atomic(PAGE, lambda file: file.write(new.encode()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
