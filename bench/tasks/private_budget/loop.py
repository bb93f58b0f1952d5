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
from bench.tasks.generation.begun import begun
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
    sum; `rate`, `steps`, `delta_times_n`; `epsilon`, what these releases cost by PLD, whatever was aimed at, and `budget_share`, that over what was;
    `noise_norm`, the norm of one release's noise over sigma C. `noise_multiplier_rdp`: what RDP would ask for the budget aimed at, and `rdp_excess`,
    that over what the method's accountant asks for it.
    """
    parts, opened = session.job.parts, []
    shape: PrivateShape = build("dataset", parts["dataset"])
    if parts.get("model") is None:
        raise UserError("model: missing value; name a denoiser, as model=unet_celeba64")
    with META:
        network = build("model", parts["model"], shape.channels, shape.classes, shape.size)
    method: Method = build("method", parts["method"])
    public = {id(parameter): parameter for parameter in network.parameters()}
    layers = projections(network)
    problem = problem_of(network, shape, session.seeds[0], lambda **terms: opened.append(terms))
    steps = begun(method, problem)
    if not opened or not opened[0]["noise_multiplier"]:
        raise UserError("method.epsilon: null, which has no budget to spend; a number")
    session.begin(len(session.runs))
    trained = {name: p for name, p in method.network().named_parameters() if p.requires_grad}
    added = {name: p.numel() for name, p in trained.items() if id(p) not in public}
    final = {
        "trainable_parameters": method.trainable_parameters,
        "adapter_parameters": sum(added.values()),
        "adapted_projections": adapted(layers, added),
        "adapted_outputs": adapted([name for name in layers if f".{OUT}." in name], added),
        "steps": steps,
        **spent(opened[0], shape.examples),
    }
    for k, seed_run in enumerate(session.runs, start=1):
        ledger = Ledger(n=shape.examples, seed=seed_run.seed, **opened[0])
        seed_run.finish(**final, noise_norm=noise_norm(ledger, [p.shape for p in trained.values()]))  # type: ignore[arg-type]
        session.progress.step(k)


def spent(terms: dict[str, Any], examples: int) -> dict[str, float]:
    """Of a ledger's terms: the noise, and what it costs."""
    rate, steps, delta, budget = (terms[name] for name in ("rate", "steps", "delta", "target_epsilon"))
    rdp, asked = (noise_multiplier(budget, rate, steps, delta, by) for by in ("rdp", terms["accountant"]))
    cost = epsilon(rate, terms["noise_multiplier"], steps, delta, "pld")
    return {
        "noise_multiplier": terms["noise_multiplier"],
        "noise_multiplier_rdp": rdp,
        "rdp_excess": rdp / asked,
        "epsilon": cost,
        "budget_share": cost / budget,
        "rate": rate,
        "delta_times_n": delta * examples,
    }


def problem_of(network: nn.Module, shape: PrivateShape, seed: int, open_ledger: Any) -> Problem:
    """What the method sees: examples that have a shape and no values, beside as many public images, all of them the same."""
    size = (shape.channels, shape.size, shape.size)
    one, label = torch.zeros(1, *size, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    classes = max(1, shape.classes)
    public = one.expand(shape.examples, -1, -1, -1), label.expand(shape.examples)
    pair = Pair(*public, one, label, one, label, classes, classes, shape.classes > 0)
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
    """Of the noise that the ledger hands out for one release of these shapes, over sigma C."""
    ledger.batch(0)
    noise: list[Tensor] = ledger.noise(0, [torch.empty(shape) for shape in shapes])
    size = ledger.noise_multiplier * ledger.clip
    return math.sqrt(sum(float(part.double().square().sum()) for part in noise)) / size
