"""What DP-LoRA's settings cost at paper scale, in hours of one H100: multiplications of the networks, counted without values.

A step is three times a forward pass for each draw of each image; samples are 50,000 by 200 steps of DDIM. The rate is 40 % of the dense bf16
peak for passes and 25 % of the TF32 one for private steps, which are not allowed in bf16: a guess, as nothing here was run on a GPU. The public
network's training, 200,000 steps of 512 images, is once for all budgets.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from bench.run.build import build
from bench.run.cli import one_line
from bench.run.sweep import of_experiment

BF16, TF32 = 0.4 * 989e12, 0.25 * 494e12  # operations a second
SAMPLES, SAMPLING_STEPS = 50_000, 200
PUBLIC_STEPS, PUBLIC_BATCH = 200_000, 512
ROWS = 8


def forward(job) -> float:
    """Operations of one image's pass through the denoiser of a job of dplora/budget."""
    shape = job.parts["dataset"]
    with torch.device("meta"):
        network = build("model", job.parts["model"], shape["channels"], shape["classes"], shape["size"])
        x = torch.empty(ROWS, shape["channels"], shape["size"], shape["size"])
        y = torch.zeros(ROWS, dtype=torch.long) if shape["classes"] else None
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            network(x, torch.zeros(ROWS, dtype=torch.long), y)
    return counted.get_total_flops() / ROWS


@one_line
def main() -> int:
    """The program; returns its exit code."""
    table = Table(
        "setting", "GFLOP a pass", "private training", "50,000 samples", "public training", title="hours of one H100"
    )
    for job in of_experiment("dplora/budget", ("scale=mini",)):
        if job.parts["method"]["epsilon"] != 1.0:
            continue
        shape, method, each = job.parts["dataset"], job.parts["method"], forward(job)
        draws = shape["examples"] * method["epochs"] * method["noise_multiplicity"]
        hours = [
            3 * each * draws / TF32,
            each * SAMPLES * SAMPLING_STEPS / BF16,
            3 * each * PUBLIC_STEPS * PUBLIC_BATCH / BF16,
        ]
        name = job.names["dataset"].removeprefix("shape_")
        table.add_row(name, f"{each / 1e9:.2f}", *(f"{seconds / 3600:.2g}" for seconds in hours))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
