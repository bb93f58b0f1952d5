"""What each private method trains, from where it starts, and that steps move nothing else."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from bench.models.unet import Denoiser
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.ledger import Ledger
from methods.private.attention import AttentionOnly
from methods.private.full import Full
from methods.private.lora import LoRA, adapted, matches
from methods.private.public_only import PublicOnly
from methods.private.scratch import Scratch

FUSED = {
    "widths": [16], "attention": [True], "blocks": 1, "middle": False, "head_width": 8, "groups": 4, "time_width": 16, "context": None, "patch": 2,
}  # fmt: skip
TOKEN = FUSED | {"widths": [8, 16], "attention": [False, True], "head_width": [4, 8], "context": 6, "patch": 1}
KEYS = {
    "epsilon": 8.0,
    "delta": 1e-3,
    "accountant": "rdp",
    "clip": 0.1,
    "batch_size": 8,
    "steps": 2,
    "lr": 0.01,
    "noise_multiplicity": 2,
}
X, T, Y = (
    torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 9, 500, 999]),
    torch.tensor([0, 1, 2, 0]),
)
METHODS = {
    "lora": (LoRA, {"rank": 2}), "attention": (AttentionOnly, {}), "full": (Full, {}), "scratch": (Scratch, {"ema": 0.9}),
}  # fmt: skip


def denoiser(keys=FUSED, classes: int = 3) -> Denoiser:
    torch.manual_seed(1)
    return Denoiser(1, classes, 8, **keys).eval()


def problem(keys=FUSED, classes: int = 3, n: int = 24, seed: int = 0) -> SimpleNamespace:
    draw = torch.Generator().manual_seed(5)
    pixels = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    return SimpleNamespace(
        x=torch.rand(n, 1, 8, 8, generator=draw) * 2 - 1, y=torch.arange(n) % max(1, classes), denoiser=denoiser(keys, classes),
        pair=SimpleNamespace(public_x=pixels, num_classes=max(1, classes)), schedule=Schedule(sampling_steps=4), seed=seed,
        device=torch.device("cpu"), ledger=partial(Ledger, n, seed=seed),
    )  # fmt: skip


def expected(kind: str, network: Denoiser) -> set[str]:
    """Names of what a method trains, by what its paper says."""
    names = {name for name, _ in network.named_parameters()}
    classes = {f"net.{network.class_layer}.weight"}
    if kind == "lora":
        return classes | {name for name in names if ".lora_" in name}
    blocks = tuple(f"net.{name}." for name in network.attention_blocks())
    return classes | {name for name in names if name.startswith(blocks)} if kind == "attention" else names


@pytest.mark.parametrize("keys", [FUSED, TOKEN], ids=["fused", "token"])
@pytest.mark.parametrize("kind", METHODS)
def test_steps_move_what_the_method_trains_and_nothing_else(kind, keys):
    given = problem(keys)
    make, more = METHODS[kind]
    method = make(**KEYS, **more)
    assert method.begin(given) == 2
    network = method.adapted
    named = dict(network.named_parameters())
    wanted = expected(kind, network)
    assert {name for name, p in named.items() if p.requires_grad} == wanted
    assert method.trainable_parameters == sum(named[name].numel() for name in wanted)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for step in range(2):
        method.advance(step)
    after = network.state_dict()
    assert {name for name in after if not torch.equal(after[name], before[name])} == wanted
    assert method.pretrained == (kind != "scratch")
    shown = method.network()
    assert shown(X, T, Y).shape == X.shape
    assert torch.equal(shown(X, T, Y), network(X, T, Y)) == (kind != "scratch")  # which samples from averages


@pytest.mark.parametrize("keys", [FUSED, TOKEN], ids=["fused", "token"])
@pytest.mark.parametrize("targets", ["attention", "qkv"])
def test_adapters_start_from_the_pre_trained_network_exactly(keys, targets):
    plain = denoiser(keys)
    with torch.no_grad():
        before = plain(X, T, Y)
        assert torch.equal(adapted(plain, 4, targets)(X, T, Y), before)
    a = torch.cat([p.detach().flatten() for name, p in plain.named_parameters() if ".lora_A." in name])
    assert all(p.abs().max() == 0 for name, p in plain.named_parameters() if ".lora_B." in name)
    assert float(a.std()) == pytest.approx(1 / 4, rel=0.15)  # A ~ N(0, 1 / r^2)


def test_an_adapted_layer_is_w_x_plus_b_a_x():
    network = adapted(denoiser(), 2)
    layer = network.net.get_submodule(next(name for name in network.attention_blocks()) + ".to_qkv")
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(3, 5, 16)
    with torch.no_grad():
        b.normal_()
        assert torch.allclose(layer(x), x @ (layer.base_layer.weight + b @ a).T + layer.base_layer.bias, atol=1e-5)


def test_adapters_depend_on_the_run_s_seed_alone():
    def first(seed: int, noise: int) -> dict:
        given = problem(seed=seed)
        torch.manual_seed(noise)
        method = LoRA(**KEYS, rank=2)
        method.begin(given)
        return {name: p.clone() for name, p in method.adapted.named_parameters() if ".lora_A." in name}

    one, same, other = first(0, 1), first(0, 2), first(1, 1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_a_target_that_matches_nothing_is_refused():
    """The layer is `to_out.0`: `to_out.Linear` of the released configurations gives the output projection no adapter."""
    released = ["to_q", "to_k", "to_v", "to_out.Linear"]
    assert matches(denoiser(TOKEN), [*released, "to_out.0"]) == {
        "to_q": 6, "to_k": 6, "to_v": 6, "to_out.Linear": 0, "to_out.0": 6,
    }  # fmt: skip
    with pytest.raises(
        ValueError,
        match=r"^targets: 'to_out\.Linear' matches no module; those of attention are to_q, to_k, to_v, to_out\.0$",
    ):
        LoRA(**KEYS, rank=2, targets=released).begin(problem(TOKEN))
    ignoring = LoRA(**KEYS, rank=2, targets=released, unmatched="ignore")
    ignoring.begin(problem(TOKEN))
    assert not any("to_out" in name for name, p in ignoring.adapted.named_parameters() if p.requires_grad)
    with pytest.raises(ValueError, match="'out' matches no module"):
        adapted(denoiser(), 2, ["out"], "ignore")


@pytest.mark.parametrize(("make", "more"), [(LoRA, {"rank": 2}), (AttentionOnly, {})])
def test_embeddings_of_classes_are_kept_or_drawn_anew(make, more):
    rows = {}
    for classes in ("kept", "renewed"):
        given = problem()
        before = given.denoiser.net.class_embedding.weight.detach().clone()
        method = make(**KEYS, **more, classes=classes)
        method.begin(given)
        rows[classes] = torch.equal(method.adapted.net.class_embedding.weight, before)
    assert rows == {"kept": True, "renewed": False}


def test_attention_from_a_later_block_on():
    method = AttentionOnly(**KEYS, first_block=3)
    method.begin(problem())
    blocks = [*method.adapted.attention_blocks().values()]
    assert [all(p.requires_grad for p in block.parameters()) for block in blocks] == [False, False, True]
    with pytest.raises(ValueError, match="first_block = 4: the network has 3 attention blocks"):
        AttentionOnly(**KEYS, first_block=4).begin(problem())


def test_without_privacy_adapters_fit_the_private_data():
    given = problem(n=16)
    method = LoRA(**(KEYS | {"epsilon": None, "batch_size": 16, "steps": 60, "lr": 0.03}), rank=4)
    draw = torch.Generator().manual_seed(3)
    t, noise = given.schedule.draw_times((16, 8), draw), torch.randn(16, 8, 1, 8, 8, generator=draw)
    loss = lambda: float(given.schedule.loss_per_example(method.network(), given.x, given.y, t, noise).detach().mean())  # noqa: E731
    method.begin(given)
    before = loss()
    for step in range(60):
        method.advance(step)
    assert loss() < 0.9 * before


def test_the_public_network_takes_no_step():
    given, method = problem(), PublicOnly()
    before = {name: tensor.clone() for name, tensor in given.denoiser.state_dict().items()}
    assert method.begin(given) == 0
    assert method.trainable_parameters == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.network().state_dict().items())
    with pytest.raises(AssertionError):
        method.advance(0)
