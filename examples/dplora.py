"""DP-LoRA: a denoiser learns public digits (5 to 9), then adapters of its attention learn private ones (0 to 4) at epsilon 5, delta 1e-4.
Prints the epsilon that was spent, at most 5, and the denoising loss on held-out digits from 0 to 4 before and after, which falls."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.models.unet import Denoiser
from bench.tasks.generation import diffusion, ledger, pair, protocol
from datasets.pairs.digits import private_digits
from methods.private.lora import LoRA

torch.manual_seed(0)
data, schedule = private_digits("", 0), diffusion.Schedule()
size = {"widths": [32], "attention": [True], "head_width": 32, "groups": 8, "time_width": 64, "patch": 2}
net = Denoiser(1, 5, 8, blocks=1, middle=False, context=None, **size)


def loss(x, y, seed):
    torch.manual_seed(seed)  # of the time and the noise of each image
    t, noise = torch.randint(schedule.timesteps, (len(x), 1)), torch.randn(len(x), 1, *data.shape)
    return schedule.loss_per_example(net, pair.as_float(x), y, t, noise).mean()


optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
for step, rows in enumerate(torch.randint(len(data.public_x), (200, 32))):
    loss(data.public_x[rows], data.public_y[rows], step).backward()
    optimizer.step()
    optimizer.zero_grad()
before = loss(data.held_x, data.held_y, 200).item()
method = LoRA(rank=4, epsilon=5.0, delta=1e-4, clip=1e-3, batch_size=64, steps=20, lr=3e-2, secure=True)
x, y, account = pair.as_float(data.private_x), data.private_y, lambda **terms: ledger.Ledger(len(x), **terms)
problem = protocol.Problem(data, x, y, net, None, torch.nn.Identity(), schedule, account, 0, torch.device("cpu"))
for step in range(method.begin(problem)):  # which puts the adapters into `net`
    method.advance(step)
print(f"{method.ledger.released} private steps: epsilon {method.ledger.epsilon():.3f} at delta {method.delta:g}")
print(f"denoising loss on held-out digits: {before:.3f} before, {loss(data.held_x, data.held_y, 200).item():.3f} after")
