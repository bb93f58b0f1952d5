"""Networks that have seen public data alone: trained once, and kept on disk by everything that they depend on.

A folder a network, named by the sha256 of the data's content, the network, its first weights, its training, the seed, torch's version and the
kind of device. Of two processes that need it one trains; where it is killed, another goes on from what it last saved.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.run.atomic import set_aside, write_atomic
from bench.run.locks import exclusive
from bench.seeding import generator
from bench.tasks.generation.diffusion import Schedule

FORM = "network of public data 1"
WEIGHTS, UNFINISHED = "weights", "unfinished"  # files of a network's folder
PRETRAINING, LOSS_ROWS = 71, 100  # stream of the batches; a report each so many steps' share
SAVE_EVERY = 60.0  # seconds between savings of what is unfinished
Report = Callable[[str], None]
Pause = Callable[
    [Callable[[], None]], None
]  # called at every step with what saves: where a stop was asked for it saves and raises


@dataclass(frozen=True)
class Training:
    """How a network is trained on public data, by Adam.

    Attributes:
        steps, batch_size: minibatches, drawn with replacement, and their size.
        lr: of Adam; it falls to 0 along a cosine over the steps.
        ema: the weights that are kept are averages with this decay, min(ema, (1 + t) / (10 + t)) at step t; 0: the last weights.
    """

    steps: int
    batch_size: int
    lr: float
    ema: float = 0.0


class Loss(Protocol):
    """Of a minibatch: (network, indices [B], generator) to a scalar."""

    def __call__(self, network: nn.Module, rows: Tensor, draws: torch.Generator) -> Tensor: ...


def pretrained(
    denoiser: nn.Module,
    x: Tensor,
    y: Tensor,
    schedule: Schedule,
    training: Training,
    folder: Path | str,
    seed: int,
    report: Report = lambda line: None,
    pause: Pause = lambda save: None,
) -> nn.Module:
    """The denoiser trained on public data, in evaluation mode; it is changed in place. The same result whether it is read or trained.

    Args:
        denoiser: as it starts, on the data's device.
        x: public data, float [P, C, S, S], pixels from -1 to 1 or latents; y: their classes [P].
        folder: where networks are kept.
        report: is told once that training begins, and how it goes.
        pause: may end the process between two steps; another one goes on.
    """

    def loss(network: nn.Module, rows: Tensor, draws: torch.Generator) -> Tensor:
        t = schedule.draw_times((len(rows), 1), draws)
        noise = torch.randn(len(rows), 1, *x.shape[1:], generator=draws, device=x.device)
        return schedule.loss_per_example(network, x[rows], y[rows], t, noise).mean()

    return trained_once("denoiser", denoiser, (x, y), schedule.identity(), loss, training, folder, seed, report, pause)


def trained_once(
    what: str,
    network: nn.Module,
    data: Sequence[Tensor],
    settings: str,
    loss: Loss,
    training: Training,
    folder: Path | str,
    seed: int,
    report: Report,
    pause: Pause,
) -> nn.Module:
    """The network with the weights that training gives, in evaluation mode, read where they lie in `folder`.

    Args:
        what: its name in the reports.
        data: all that the loss sees, of equal lengths.
        settings: all else that the loss depends on.
    """
    own = Path(folder) / _digest(network, data, f"{what}\n{settings}\n{training}\n{seed}")
    if (weights := read_tensors(own / WEIGHTS, data[0].device)) is None:
        own.mkdir(parents=True, exist_ok=True)
        weights = _alone(own, what, network, data, loss, training, seed, report, pause)
    network.load_state_dict(weights)
    network.zero_grad()
    return network.eval().requires_grad_(True)


def _alone(
    own: Path,
    what: str,
    network: nn.Module,
    data: Sequence[Tensor],
    loss: Loss,
    training: Training,
    seed: int,
    report: Report,
    pause: Pause,
) -> dict[str, Tensor]:
    """Trains while no other process does, or waits for one that does and reads what it has kept."""
    said = False
    while True:
        with exclusive(own, 0) as mine:
            if (weights := read_tensors(own / WEIGHTS, data[0].device)) is not None:
                return weights
            if mine:
                report(
                    f"training the {what} on {len(data[0]):,} public images, {training.steps:,} steps, kept in {own}"
                )
                weights = _trained(own / UNFINISHED, network, data, loss, training, seed, report, pause)
                write_tensors(own / WEIGHTS, weights)
                (own / UNFINISHED).unlink(missing_ok=True)
                return weights
        if not said:
            report(f"the {what} is being trained by another process; waiting for it")
        said = True
        pause(lambda: None)
        time.sleep(0.2)


def _trained(
    unfinished: Path,
    network: nn.Module,
    data: Sequence[Tensor],
    loss: Loss,
    training: Training,
    seed: int,
    report: Report,
    pause: Pause,
) -> dict[str, Tensor]:
    """Weights after all steps; what another process saved is gone on from."""
    device = data[0].device
    optimizer = torch.optim.Adam(network.parameters(), lr=training.lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = 0
    if (saved := read_tensors(unfinished, device)) is not None:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        cosine.load_state_dict(saved["cosine"])
        average, first = saved["average"], saved["step"]

    def save(step: int) -> None:
        parts = {"network": network, "optimizer": optimizer, "cosine": cosine}
        state = {name: part.state_dict() for name, part in parts.items()}  # type: ignore[attr-defined]
        write_tensors(unfinished, state | {"average": average, "step": step})

    network.train()
    last, total = time.monotonic(), 0.0
    for step in range(first, training.steps):
        draws = generator(seed, "order", PRETRAINING, step, device=device)
        rows = torch.randint(len(data[0]), (training.batch_size,), generator=draws, device=device)
        value = loss(network, rows, draws)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        cosine.step()
        _average(average, network.state_dict(), min(training.ema, (1 + step) / (10 + step)))
        total += float(value.detach())
        if (step + 1) % max(1, training.steps // 5) == 0:
            report(f"  step {step + 1:,} of {training.steps:,}: loss {total / (step + 1 - first):.4f}")
        if time.monotonic() - last > SAVE_EVERY:
            save(step + 1)
            last = time.monotonic()
        pause(partial(save, step + 1))
    return average


@torch.no_grad()
def _average(average: dict[str, Tensor], weights: dict[str, Tensor], decay: float) -> None:
    for name, mean in average.items():
        mean.lerp_(weights[name], 1 - decay) if mean.is_floating_point() else mean.copy_(weights[name])


def _digest(network: nn.Module, data: Sequence[Tensor], settings: str) -> str:
    """sha256 of all that the trained weights depend on."""
    device = data[0].device.type
    digest = hashlib.sha256(f"{FORM}\n{network}\n{settings}\n{torch.__version__} {device}\n".encode())
    for name, tensor in [*network.state_dict().items(), *((str(place), one) for place, one in enumerate(data))]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().numpy()).cast("B"))
    return digest.hexdigest()


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values: a line with the sha256, then what torch.save writes; whole or not at all."""
    packed = io.BytesIO()
    torch.save(state, packed)
    content = packed.getbuffer()
    head = hashlib.sha256(content).hexdigest().encode() + b"\n"
    write_atomic(path, lambda file: (file.write(head), file.write(content)))  # type: ignore[arg-type]


def read_tensors(path: Path, device: torch.device) -> dict[str, Any] | None:
    """What was written; None: there is nothing, or it is damaged and now lies aside."""
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if head != hashlib.sha256(content).hexdigest().encode():
        set_aside(path)
        return None
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
