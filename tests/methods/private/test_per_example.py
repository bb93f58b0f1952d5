"""Gradients of single examples against torch.func and one backward pass each; layers of diffusers and peft; what is refused."""

from __future__ import annotations

import pytest
import torch
from private_problems import CLASSES, SIZE, Schedule, Small
from torch import nn

from bench.errors import UserError
from bench.libraries import peft
from methods.private.per_example import per_example

B, K = 5, 4


def drawn(copies: int, examples: int = B, shape=(1, SIZE, SIZE)):
    stream = torch.Generator().manual_seed(1)
    x, noise = torch.randn(examples, *shape, generator=stream), torch.randn(examples, copies, *shape, generator=stream)
    return x, torch.arange(examples) % CLASSES, torch.randint(0, 10, (examples, copies), generator=stream), noise


def ours(network, copies, batch):
    with per_example(network, copies) as gradients:
        Schedule().loss_per_example(network, *batch).sum().backward()
        return gradients.take(len(batch[0]))


def one_by_one(network, batch):
    """[B, *shape] of each trained parameter, by a backward pass an example."""
    trained, found = [p for p in network.parameters() if p.requires_grad], []
    for i in range(len(batch[0])):
        loss = Schedule().loss_per_example(network, *(part[i : i + 1] for part in batch)).sum()
        found.append(torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True))
    return [torch.stack(parts) for parts in zip(*found)]


def close(found, wanted, tolerance=1e-5):
    """Relative to each gradient's largest coordinate."""
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * max(float(b.abs().max()), 1e-3)


@pytest.mark.parametrize("copies", [1, K])
def test_every_layer_as_torch_func_has_it(copies):
    torch.manual_seed(0)
    network, batch = Small(), drawn(copies)
    values = dict(network.named_parameters())

    def loss(parameters, x, y, t, noise):
        call = lambda *rows: torch.func.functional_call(network, parameters, rows)  # noqa: E731
        return Schedule().loss_per_example(call, x[None], y[None], t[None], noise[None])[0]

    wanted = torch.func.vmap(torch.func.grad(loss), (None, 0, 0, 0, 0))(values, *batch)
    close(ours(network, copies, batch), [wanted[name].detach() for name in values])


@pytest.mark.parametrize("trained", ["proj.weight", "proj.bias", "norm.bias", "grouped.weight", "classes.weight"])
def test_a_single_parameter_alone(trained):
    torch.manual_seed(0)
    network, batch = Small(), drawn(2)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name == trained)
    close(ours(network, 2, batch), one_by_one(network, batch))


def test_convolutions_of_inputs_in_any_order_of_memory():
    """Few positions and many weights; inputs that are not contiguous, and one in channels-last order."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(12, 16, 3, padding=1), nn.Conv2d(16, 12, 1))
    x = torch.randn(6, 12, 3, 2)
    for rows in (x, x.mT.contiguous().mT, x.contiguous(memory_format=torch.channels_last), x.flip(0)[::1]):
        with per_example(network, 3) as gradients:
            network(rows).square().sum().backward()
            found = gradients.take(2)
        wanted = []
        for part in rows.split(3):
            wanted.append(torch.autograd.grad(network(part).square().sum(), network.parameters()))
        close(found, [torch.stack(parts) for parts in zip(*wanted)])


def test_tokens_of_an_embedding_and_of_a_linear_layer():
    """Rows of several words each, two copies an example."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(7, 4), nn.LayerNorm([3, 4]), nn.Linear(4, 2))
    words = torch.tensor([[0, 1, 1], [6, 6, 6], [2, 3, 1], [0, 0, 5]])
    with per_example(network, 2) as gradients:
        network(words).sin().sum().backward()
        found = gradients.take(2)
    wanted = [torch.autograd.grad(network(part).sin().sum(), network.parameters()) for part in words.split(2)]
    close(found, [torch.stack(parts) for parts in zip(*wanted)])


@pytest.mark.parametrize("convolution", [False, True])
def test_adapters_of_peft(convolution):
    """Rank 2 with biases of the adapted layers, on linear layers and on 1 x 1 convolutions."""
    torch.manual_seed(0)
    targets = ["out", "down"] if convolution else ["qkv", "proj"]
    config = peft().LoraConfig(
        r=2, lora_alpha=2, target_modules=targets, init_lora_weights="gaussian", bias="lora_only"
    )
    network = peft().inject_adapter_in_model(config, Small())
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(generator=torch.Generator().manual_seed(2))
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert sum("lora_" in name for name in names) == 4
    assert any("bias" in name for name in names)
    batch = drawn(K)
    close(ours(network, K, batch), one_by_one(network, batch))


def test_gradients_at_the_input_are_those_of_the_layer():
    """Frozen layers before a trained one see the same gradients as without."""
    torch.manual_seed(0)
    network, (x, y, t, _) = Small(), drawn(1)
    found = []
    for inside in (False, True):
        rows = x.clone().requires_grad_()
        with per_example(network) if inside else torch.enable_grad():
            network(rows, t[:, 0], y).sin().sum().backward()
        found.append(rows.grad)
        network.zero_grad()
    torch.testing.assert_close(*found)


def test_mixed_precision_gives_gradients_in_the_parameters_type():
    torch.manual_seed(0)
    network, batch = Small(), drawn(2)
    exact = ours(network, 2, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(network, 2, batch)
    for a, b in zip(rough, exact):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.05 * b.norm()


def test_the_network_is_left_as_it_was():
    torch.manual_seed(0)
    network, batch = Small(), drawn(1)
    with pytest.raises(RuntimeError, match="stopped"), per_example(network):
        raise RuntimeError("stopped")
    assert not any("forward" in vars(layer) for layer in network.modules())
    ours(network, 1, batch)
    assert not any("forward" in vars(layer) for layer in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(4), nn.Conv1d(4, 4, 1), type("Own", (nn.Linear,), {"forward": lambda self, x: x})(4, 4)],
    ids=["mixes examples", "unknown", "another forward"],
)
def test_layers_whose_gradients_are_not_known_are_refused(layer):
    with (
        pytest.raises(UserError, match=r"trains 0, a \w+; gradients of single examples are known of Linear, "),
        per_example(nn.Sequential(layer)),
    ):
        pass
    layer.requires_grad_(False)
    with per_example(nn.Sequential(layer)):
        pass


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Embedding(3, 2, padding_idx=0),
    ],
)
def test_options_of_layers_that_are_refused(layer):
    with pytest.raises(UserError, match="method: a trained"), per_example(layer):
        pass


def test_a_weight_used_outside_of_its_layer_is_refused():
    layer, x = nn.Linear(3, 3), torch.randn(4, 3)
    with per_example(layer) as gradients:
        (layer(x) @ layer.weight).sum().backward()
        with pytest.raises(UserError, match="outside of its own layer"):
            gradients.take(4)


def test_rows_that_are_not_the_examples_are_refused():
    layer = nn.Linear(3, 3)
    with per_example(layer) as gradients:
        layer(torch.randn(8, 3)).sum().backward()
        with pytest.raises(UserError, match="other rows than 4 examples of 1 copies"):
            gradients.take(4)


def test_what_the_loss_does_not_depend_on_has_gradient_0():
    network = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2)])
    with per_example(network) as gradients:
        network[0](torch.randn(4, 3)).sum().backward()
        found = gradients.take(4)
    assert [g.shape for g in found] == [(4, 3, 3), (4, 3), (4, 2, 3), (4, 2)]
    assert found[1].eq(1).all()
    assert not found[2].any()
