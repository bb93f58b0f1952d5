"""Denoisers: the paper's sizes, what they take, and that they are diffusers' own networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import get_class
from torch import nn

from bench.errors import UserError
from bench.libraries import diffusers
from bench.models.unet import Denoiser, unfused
from bench.run.compose import compose
from methods.private.lora import adapted

TINY: dict[str, Any] = {
    "widths": [16], "attention": [True], "blocks": 1, "middle": False, "head_width": 8, "groups": 4, "time_width": 16, "context": None, "patch": 2,
}  # fmt: skip
TOKEN = TINY | {
    "widths": [8, 16],
    "attention": [False, True],
    "head_width": [4, 8],
    "middle": True,
    "context": 6,
    "patch": 1,
}


def tiny(classes: int = 3, **keys: Any) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(1, classes, 8, **(TINY | keys)).eval()


def configured(name: str, channels: int, classes: int, size: int, scale: str = "paper") -> Denoiser:
    """The network of a config, on the meta device."""
    node = dict(
        compose(f"model={name}", "method=public_only", "dataset=private_digits", f"scale={scale}").parts["model"]
    )
    with torch.device("meta"):
        return get_class(node.pop("_target_"))(channels, classes, size, **node)


def low_rank(denoiser: Denoiser) -> int:
    return sum(p.numel() for name, p in denoiser.named_parameters() if ".lora_" in name)


# latents' side and classes; attention blocks and the sum of their widths; rank and the numbers in its adapters, read from the released configs
PAPER = {
    "unet_celeba64": (32, 0, 16, 4992, 16, 479_232),
    "unet_celeba32": (16, 0, 16, 7488, 16, 718_848),
    "unet_mnist": (4, 26, 7, 704, 8, 79_408),
    "unet_cifar10": (16, 10, 16, 3712, 8, 546_816),
    "unet_celebahq": (64, 2, 16, 10_560, 8, 1_313_792),
}


@pytest.mark.parametrize("name", PAPER)
def test_adapters_are_as_many_as_in_the_paper_s_networks(name):
    size, classes, blocks, widths, rank, count = PAPER[name]
    denoiser = configured(name, 3, classes, size)
    found = denoiser.attention_blocks()
    norms = [next(m for m in block.modules() if isinstance(m, nn.GroupNorm)) for block in found.values()]
    assert len(found) == blocks
    assert sum(norm.num_channels for norm in norms) == widths
    assert low_rank(adapted(denoiser, rank)) == count
    context = denoiser.context
    assert count == (6 * rank * widths if context is None else 14 * rank * widths + 2 * rank * context * blocks)


def test_counts_at_other_ranks_and_targets_and_of_attention_alone():
    celeba = lambda: configured("unet_celeba64", 3, 0, 32)  # noqa: E731
    assert low_rank(adapted(celeba(), 64)) == 4 * 479_232
    assert low_rank(adapted(celeba(), 16, "qkv")) == 319_488
    assert sum(p.numel() for b in celeba().attention_blocks().values() for p in b.parameters()) == 7_959_808
    released = [
        "to_q",
        "to_k",
        "to_v",
        "to_out.Linear",
    ]  # of MNIST: 10 r c + 2 r ctx a block, the output projection is not matched
    assert low_rank(adapted(configured("unet_mnist", 3, 26, 4), 8, released, "ignore")) == 80 * 704 + 16 * 5 * 7


def test_a_class_is_embedded_in_as_many_numbers_as_in_the_paper():
    for name, classes, size, count in (("unet_mnist", 26, 4, 130), ("unet_cifar10", 10, 16, 5120)):
        denoiser = adapted(configured(name, 3, classes, size), 8)
        trained = sum(p.numel() for p in denoiser.parameters() if p.requires_grad)
        assert trained - low_rank(denoiser) == count


def test_attention_blocks_come_in_the_order_of_the_network():
    order = [name.split("_")[0] for name in tiny(middle=True).attention_blocks()]
    assert order == ["down", "mid", "up", "up"]


@pytest.mark.parametrize("scale", ["smoke", "mini"])
def test_networks_below_paper_scale_fit_their_images(scale):
    sides = {
        "unet_digits": (8, 8),
        "unet_mnist": (16, 28),
        "unet_cifar10": (16, 32),
        "unet_celeba32": (8, 16),
        "unet_celeba64": (16, 32),
    }
    for name, (smoke, mini) in (sides | {"unet_celebahq": (16, 32)}).items():
        side = smoke if scale == "smoke" else mini
        denoiser = configured(name, 3, 4, side, scale)
        x, t = torch.empty(2, 3, side, side, device="meta"), torch.empty(2, dtype=torch.long, device="meta")
        assert denoiser(x, t, t).shape == x.shape
        assert denoiser.attention_blocks()
    digits = configured("unet_digits", 1, 5, 8)
    assert sum(p.numel() for p in digits.parameters()) == 106_692  # its config says so


@pytest.mark.parametrize("keys", [TINY, TINY | {"patch": 1}, TOKEN])
def test_it_is_diffusers_network_by_another_name(keys):
    """diffusers' network of the same configuration with the weights unfused, called by hand."""
    denoiser = tiny(**keys)
    theirs = getattr(diffusers(), type(denoiser.net).__name__).from_config(denoiser.net.config).eval()
    theirs.load_state_dict(unfused(denoiser.net.state_dict()))
    x, t, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 500, 999]), torch.tensor([2, 0, 1, 2])
    folded, known = (
        F.pixel_unshuffle(x, keys["patch"]),
        y if keys["context"] is None else F.one_hot(y, 3)[:, None].float(),
    )
    with torch.no_grad():
        expected = F.pixel_shuffle(theirs(folded, t, known).sample, keys["patch"])
        ours = denoiser(x, t, y)
    assert (ours - expected).abs().max() < 1e-6
    assert ours.std() > 0


@pytest.mark.parametrize("keys", [TINY, TOKEN])
def test_time_and_class_matter_and_rows_do_not_see_each_other(keys):
    denoiser = tiny(**keys)
    x, t, y = torch.randn(3, 1, 8, 8), torch.tensor([10, 500, 900]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        whole, first = denoiser(x, t, y), denoiser(x[:1], t[:1], y[:1])
        assert (whole[:1] - first).abs().max() < 1e-5
        assert (denoiser(x, t.flip(0), y) - whole)[[0, 2]].abs().max() > 1e-3
        assert (denoiser(x, t, y.flip(0)) - whole)[[0, 2]].abs().max() > 1e-3
        denoiser.renew_classes(torch.Generator().manual_seed(1))
        assert (denoiser(x, t, y) - whole).abs().max() > 1e-3


def test_queries_and_keys_of_one_token_have_no_gradient():
    """A softmax over one key is 1: these adapters of the paper's conditional networks cannot learn."""
    denoiser = tiny(**TOKEN)
    x, t, y = torch.randn(3, 1, 8, 8), torch.tensor([10, 500, 900]), torch.tensor([0, 1, 2])
    denoiser(x, t, y).square().sum().backward()
    size = {n: float(p.grad.abs().max()) for n, p in denoiser.named_parameters() if ".attn2.to_" in n and "weight" in n}
    of = lambda *names: [value for name, value in size.items() if name.split(".attn2.")[1].startswith(names)]  # noqa: E731
    assert max(of("to_q", "to_k")) < 1e-5 * min(of("to_v", "to_out"))


def test_an_unconditional_network_reads_no_classes():
    denoiser, x, t = tiny(0), torch.randn(2, 1, 8, 8), torch.tensor([3, 4])
    with torch.no_grad():
        assert torch.equal(denoiser(x, t), denoiser(x, t, torch.tensor([0, 1])))
    assert denoiser.class_layer is None
    with pytest.raises(ValueError, match="needs classes"):
        tiny(2)(x, t)


@pytest.mark.parametrize(
    ("keys", "classes", "said"),
    [
        ({"attention": [True, False]}, 3, r"model\.attention = .*2 entries"),
        ({"widths": [8, 16], "attention": [True, True], "head_width": [4, 8]}, 3, r"model\.head_width"),
        ({"widths": [8] * 4, "attention": [True] * 4}, 3, r"do not divide 8 pixels"),
        ({"widths": [10]}, 3, r"10 is no multiple of model\.groups = 4"),
        ({"head_width": 12}, 3, r"model\.head_width = 12"),
        ({"context": 4}, 0, r"type model\.context=null"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(keys, classes, said):
    with pytest.raises(UserError, match=said):
        tiny(classes, **keys)
