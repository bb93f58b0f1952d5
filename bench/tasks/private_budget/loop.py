"""What would a method train and spend on a private set of a given size? Nothing is trained: networks and data have shapes alone.

The numbers are a method's own: it prepares the network and opens its ledger as it would before its first step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.generation.accounting import epsilon, noise_multiplier
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.ledger import Ledger
from bench.tasks.generation.pair import Pair
from bench.tasks.generation.protocol import Problem
from bench.tasks.private_budget.protocol import Method
from bench.tasks.private_budget.shape import PrivateShape

BATCHES_SEEDS = True
META = torch.device("meta")
OUT = "to_out"  # of an attention module of diffusers, the projection out


def run(session: Session, state: dict[str, Any] | None) -> None:
    """Finish with what the method would train and spend.

    `adapter_parameters`: those trained ones that the public network has not. `adapted_projections`, `adapted_outputs`: shares of the linear layers
    of attention that have such parameters. Of the ledger that the method opens: `noise_multiplier`, of the noise over what one example can add to a
    sum; `rate`, `steps`, `delta_times_n`; `epsilon`, what these releases cost by PLD, whatever was aimed at; `noise_norm`, the norm of one release's
    noise over C. `noise_multiplier_rdp`: what RDP would ask for the budget aimed at, and `rdp_excess`, that over what PLD would.
    """
    parts = session.job.parts
    shape: PrivateShape = build("dataset", parts["dataset"])
    if parts.get("model") is None:
        raise UserError("model: missing value; name a denoiser, as model=unet_celeba64")
    session.begin(len(session.runs))
    for k, seed_run in enumerate(session.runs, start=1):
        with META:
            network = build("model", parts["model"], shape.channels, shape.classes, shape.size)
        method: Method = build("method", parts["method"])
        seed_run.finish(**spent(method, network, shape, seed_run.seed))
        session.progress.step(k)


def spent(method: Method, network: nn.Module, shape: PrivateShape, seed: int) -> dict[str, float]:
    """The metrics of one run.

    Raises:
        UserError: the method opens no ledger, or one without noise.
    """
    opened: list[Ledger] = []

    def open_ledger(**terms: Any) -> Ledger:
        opened.append(Ledger(n=shape.examples, seed=seed, **terms))
        return opened[-1]

    public = {name: parameter for name, parameter in network.named_parameters()}
    layers = projections(network)
    steps = method.begin(problem_of(network, shape, seed, open_ledger))
    if not opened or not opened[0].noise_multiplier:
        raise UserError("method.epsilon: null, which has no budget to spend; a number")
    (ledger,), tuned = opened, method.network()
    known = {id(parameter) for parameter in public.values()}
    added = {name: p.numel() for name, p in tuned.named_parameters() if p.requires_grad and id(p) not in known}
    terms = ledger.rate, ledger.steps, ledger.delta
    asked = {by: noise_multiplier(ledger.target_epsilon, *terms, by) for by in ("pld", "rdp")}
    return {
        "trainable_parameters": method.trainable_parameters,
        "adapter_parameters": sum(added.values()),
        "adapted_projections": adapted(layers, added),
        "adapted_outputs": adapted([name for name in layers if f".{OUT}." in name], added),
        "noise_multiplier": ledger.noise_multiplier,
        "noise_multiplier_rdp": asked["rdp"],
        "rdp_excess": asked["rdp"] / asked["pld"],
        "epsilon": epsilon(ledger.rate, ledger.noise_multiplier, ledger.steps, ledger.delta, "pld"),
        "steps": steps,
        "rate": ledger.rate,
        "delta_times_n": ledger.delta * ledger.n,
        "noise_norm": noise_norm(ledger, [p.shape for p in tuned.parameters() if p.requires_grad]),
    }


def problem_of(network: nn.Module, shape: PrivateShape, seed: int, open_ledger: Any) -> Problem:
    """What the method sees: examples that have a shape and no values."""
    size = (shape.channels, shape.size, shape.size)
    one, label = torch.zeros(1, *size, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    classes = max(1, shape.classes)
    pair = Pair(*(one, label) * 3, classes, classes, shape.classes > 0)
    x = torch.empty(shape.examples, *size, device=META)
    y = torch.empty(shape.examples, dtype=torch.int64, device=META)
    return Problem(pair, x, y, network, None, lambda x: x, Schedule(), open_ledger, seed, META)


def projections(network: nn.Module) -> list[str]:
    """Names of the linear layers of attention modules, which are those that have a projection out."""
    attention = [name for name, module in network.named_modules() if hasattr(module, OUT)]
    return [
        f"{name}.{inner}"
        for name in attention
        for inner, layer in network.get_submodule(name).named_modules()
        if isinstance(layer, nn.Linear)
    ]


def adapted(layers: list[str], added: dict[str, int]) -> float:
    """The share of layers that hold parameters which were added; 0 where there are none."""
    held = sum(any(name.startswith(f"{layer}.") for name in added) for layer in layers)
    return held / len(layers) if layers else 0.0


def noise_norm(ledger: Ledger, shapes: list[torch.Size]) -> float:
    """Of the noise that the ledger hands out for one release of these shapes, over C."""
    ledger.batch(0)
    noise: list[Tensor] = ledger.noise(0, [torch.empty(shape) for shape in shapes])
    return math.sqrt(sum(float(part.double().square().sum()) for part in noise)) / ledger.clip
