"""Budgets: every metric against a network that has values, libraries' accountants and the ledger's normals; paper-scale networks are those of conf/model."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import final
from reference.agree import all_compared, same_rows

from bench.errors import UserError
from bench.judge.plan import jobs
from bench.libraries import dp_accounting, opacus_accountants
from bench.models.unet import Denoiser
from bench.seeding import generator
from bench.tasks.generation.ledger import RELEASES
from bench.tasks.private_budget.loop import projections
from bench.tasks.private_budget.note import NOTE

N, BATCH, STEPS, DELTA, EPSILON, RANK = 60_000, 600, 20, 1e-5, 0.5, 4
LINE = [
    "dataset=shape_mnist", "scale=smoke", f"method.batch_size={BATCH}", f"method.steps={STEPS}", f"method.delta={DELTA}", f"method.epsilon={EPSILON}",
    "method.accountant=prv",
]  # fmt: skip


def opacus(kind: str, sigma: float) -> float:
    ledger = getattr(opacus_accountants(), kind)()
    ledger.history = [(sigma, BATCH / N, STEPS)]
    return float(ledger.get_epsilon(DELTA))


def pld(sigma: float) -> float:
    theirs = dp_accounting()
    event = theirs.PoissonSampledDpEvent(BATCH / N, theirs.GaussianDpEvent(sigma))
    return theirs.pld.PLDAccountant().compose(event, STEPS).get_epsilon(DELTA)


@pytest.mark.filterwarnings("ignore")  # of Renyi orders
@pytest.mark.parametrize("method", ["dplora", "dp_attention", "dplora_released"])
def test_all_metrics(go, job, method):
    more = [f"method.rank={RANK}"] if "lora" in method else []
    model = job(f"method={method}", *LINE).parts["model"]
    network = Denoiser(3, 26, 4, **{name: value for name, value in model.items() if name != "_target_"})
    layers = [network.net.get_submodule(name) for name in projections(network.net)]
    added = sum(RANK * (one.in_features + one.out_features) for one in layers) if more else 0
    blocks = [m for name, m in network.net.named_modules() if name.rpartition(".")[0].endswith("attentions")]
    whole = sum(p.numel() for block in blocks for p in block.parameters())
    classes = network.net.class_embedding.weight.numel()
    copies = 4 if method == "dplora_released" else 1
    for found, seed in zip(final(go(f"method={method}", *LINE, *more, "seeds=[0,3]")), (0, 3)):
        sigma = found["noise_multiplier"] * copies
        assert 0.99 * EPSILON < opacus("PRVAccountant", sigma) <= EPSILON
        assert 0.99 * EPSILON < opacus("RDPAccountant", found["noise_multiplier_rdp"]) <= EPSILON
        cost = pld(sigma / copies)
        draw, shapes = generator(seed, "noise", RELEASES, 0, 0), trained_shapes(method, network, layers)
        wanted = {
            "trainable_parameters": (added or whole) + classes,
            "adapter_parameters": added,
            "adapted_projections": 1.0 if more else 0.0,
            "adapted_outputs": 1.0 if more else 0.0,
            "noise_multiplier": found["noise_multiplier"],
            "noise_multiplier_rdp": found["noise_multiplier_rdp"],
            "rdp_excess": found["noise_multiplier_rdp"] / sigma,
            "epsilon": cost,
            "budget_share": cost / EPSILON,
            "steps": STEPS,
            "rate": BATCH / N,
            "delta_times_n": DELTA * N,
            "noise_norm": math.sqrt(sum(float(torch.randn(s, generator=draw).double().square().sum()) for s in shapes)),
            "gradient_evaluations": 0,
        }
        all_compared(same_rows([found], [wanted], 1e-6), NOTE)


def trained_shapes(method, network, layers) -> list[tuple[int, ...]]:
    """In the order of the network's parameters."""
    if method == "dp_attention":
        return [p.shape for name, p in network.named_parameters() if "attentions" in name or "class_embedding" in name]
    shapes = []
    names = {id(layer.weight): layer for layer in layers}
    for name, p in network.named_parameters():
        if "class_embedding" in name:
            shapes.append(tuple(p.shape))
        elif id(p) in names:  # its bias comes before the adapter, and is not trained
            shapes += [(RANK, names[id(p)].in_features), (names[id(p)].out_features, RANK)]
    return shapes


def test_a_target_that_matches_nothing_leaves_out_its_share(go, job):
    names = "method.targets=[to_q,to_k,to_v,to_out.Linear]"
    model = ["model.context=5", "model.widths=[8]", "model.attention=[true]", "model.head_width=[8]"]
    (found,) = final(go("method=dplora", *LINE, *model, names, "method.unmatched=ignore", "seeds=[0]"))
    assert (found["adapted_projections"], found["adapted_outputs"]) == (0.75, 0.0)


@pytest.mark.parametrize("experiment", ["budget", "budget_released", "budget_rank", "budget_trained"])
def test_the_networks_of_the_budgets_are_those_of_paper_scale(experiment, job):
    planned = jobs(f"dplora/{experiment}", "mini")
    assert planned
    for one in planned:
        dataset = one.names["dataset"]
        paper = job("method=dplora", f"dataset={dataset}", "scale=paper").parts["model"]
        assert one.parts["model"] == paper, dataset


def test_without_a_budget_there_is_none_to_spend(go):
    with pytest.raises(UserError, match=r"method.epsilon: null, which has no budget to spend; a number"):
        go("method=dplora", *LINE, "method.epsilon=null")
