"""Is a device right? Every task at smoke scale there and on one CPU thread: `make check-gpu [HARDWARE=gpu]`.

The same random numbers are drawn on both. A metric is right where it is as near to the CPU's as rounding explains: ten times what it moves by when each
sum and transcendental function of the run on the CPU is moved by a last place (of single precision, or of bf16). Beside it: seconds against the
CPU's, images a second, peak memory, use of the device's peak rate, and where the loop waits for the device. Written to results/gpu/<device>.md.
Exit codes: 0; 1 something is further off than rounding explains; 2 the hardware is not here.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import UserError, allowed_list, in_one_line, nearest
from bench.judge.device import (
    STEPS,
    HostRandom,
    Measured,
    computed,
    distance,
    first_at_hand,
    on,
    representatives,
    tolerances,
)
from bench.run.atomic import write_atomic
from bench.run.cli import one_line
from bench.run.compose import compose
from bench.run.hardware import open_device
from bench.run.job import Job
from bench.run.options import options
from bench.run.parser import Parser
from bench.run.paths import ROOT

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "compile": {"compile": True},
}
TINY = 1e-12  # allowed of a metric that is 0 and stays so
PEAKS = {"H100": (67e12, 989e12), "H200": (67e12, 989e12), "A100": (19.5e12, 312e12)}  # operations a second: fp32, bf16
HEAD = "| task | job | on | worst metric | off / allowed | seconds / CPU | images/s | MiB | peak rate | waits |"


@dataclass(frozen=True)
class Row:
    """A line of the table, and whether its metrics are right; None: it could not be run as asked."""

    cells: tuple[str, ...]
    right: bool | None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hardware", default="gpu", help="an option of conf/hardware; default: gpu")
    parser.add_argument("--tasks", nargs="*", default=[], help="some tasks alone")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu", help="folder of the page")
    return parser.parse_args()


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    hardware = compose(f"hardware={args.hardware}").settings.hardware
    unknown = [name for name in args.tasks if name not in options("task")]
    if unknown:
        known = options("task")
        raise UserError(f"--tasks {unknown[0]}: unknown; allowed: {allowed_list(known)}{nearest(unknown[0], known)}")
    device = open_device(hardware)
    kind, name = device.device.type, torch.cuda.get_device_name() if device.is_cuda else "CPU"
    torch.backends.cudnn.allow_tf32 = False  # single precision is meant
    rows = []
    for task, jobs in representatives().items():
        if not args.tasks or task in args.tasks:
            rows += _task(task, jobs, kind, name)
    text = _page(name, rows)
    path = args.out / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.md"
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(text.encode()))
    print(text)
    print(path)
    return 1 if any(row.right is False for row in rows) else 0


def _task(task: str, jobs: list[Job], kind: str, name: str) -> list[Row]:
    """The rows of a task: one for each variant."""
    found = first_at_hand(jobs)
    if found is None:
        return [Row((task, "-", "-", "its data are not here", *["-"] * 6), None)]
    job, reference = found
    timed, counter = computed(job), FlopCounterMode(display=False)
    computed(job, counter)
    allowed = {"fp32": tolerances(job, reference), "bf16": tolerances(job, reference, STEPS[torch.bfloat16])}
    rows = []
    for variant, keys in VARIANTS.items():
        own = on(job, **{"device": kind, "threads": None} | keys)
        try:
            measured, waits = _measured(own, kind)
        except Exception as error:  # of torch.compile, or of a task that refuses this precision
            rows.append(Row((task, job.title, variant, in_one_line(error)[:80], *["-"] * 6), None))
            continue
        worst, ratio = _worst(reference, measured, allowed["bf16" if variant == "bf16" else "fp32"])
        cells = (worst, f"{ratio:.2g}", f"{measured.seconds / max(timed.seconds, 1e-9):.2f}")
        cells += (f"{measured.examples / max(measured.seconds, 1e-9):.0f}", f"{measured.peak / 2**20:.0f}")
        cells += (_use(counter.get_total_flops() / max(measured.seconds, 1e-9), name, variant), waits)
        rows.append(Row((task, job.title, variant, *cells), ratio <= 1))
    return rows


def _measured(job: Job, kind: str) -> tuple[Measured, str]:
    """On the device, and how often the host waited for it: counted by CUDA, on a CPU as torch's operations of a run of its own."""
    if kind == "cpu":
        compiled = job.settings.hardware.compile  # into operations that cannot be seen
        return computed(job), "-" if compiled else str(computed(job, watched=True).watch.whole().total())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            measured = computed(job, HostRandom(kind))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return measured, str(sum("synchronizing CUDA operation" in str(one.message) for one in told))


def _worst(reference: Measured, measured: Measured, allowed: dict[str, float]) -> tuple[str, float]:
    """The metric that is furthest off, and by how many times what is allowed."""
    off = {
        name: distance(measured.metrics.get(name, math.nan), value) / (allowed[name] or TINY)
        for name, value in reference.metrics.items()
        if allowed[name] < math.inf
    }
    worst = max(off, key=off.__getitem__, default="none")
    return worst, off.get(worst, 0.0)


def _use(rate: float, name: str, variant: str) -> str:
    """Share of the device's peak rate, if that is known."""
    peak = next((peaks[variant == "bf16"] for word, peaks in PEAKS.items() if word in name), None)
    return f"{rate / peak:.2%}" if peak else "-"


def _page(name: str, rows: list[Row]) -> str:
    lines = [
        f"# {name}",
        "",
        __doc__.split("\n\n")[1].replace("\n", " ").split(" Written to")[0],
        "",
        f"torch {torch.__version__}.",
        "",
        HEAD,
    ]
    lines.append("|---" * HEAD.count(" | ") + "|---|")
    for row in rows:
        mark = {True: "", False: " **off**", None: ""}[row.right]
        lines.append(f"| {' | '.join(row.cells[:4])} | {row.cells[4]}{mark} | {' | '.join(row.cells[5:])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
