"""The private step: against Opacus and torch.func on U-Nets of diffusers, how far an image can move it, and its noise."""

from __future__ import annotations

import pytest
import torch
from private_problems import CLASSES, Schedule, begun
from torch import nn

from bench.libraries import diffusers
from bench.tasks.generation.ledger import Ledger, Refused
from methods.private.dpsgd import clipped_sum, norms, private_gradient
from methods.private.per_example import per_example

EXAMPLES = 6


class UNet(nn.Module):
    """diffusers' U-Net with convolutions, attention, time and class embeddings, as a denoiser of 8 x 8 images; attention without fused kernels."""

    def __init__(self) -> None:
        super().__init__()
        library = diffusers()
        self.net = library.UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=8,
            norm_num_groups=4,
            num_class_embeds=CLASSES,
        )
        attention = library.models.attention_processor
        for layer in self.net.modules():
            if isinstance(layer, attention.Attention):
                layer.set_processor(attention.AttnProcessor())

    def forward(self, x, t, y):
        return self.net(x, t, y).sample


def small_unet() -> UNet:
    torch.manual_seed(0)
    return UNet().eval()


@pytest.fixture
def unet():
    return small_unet()


def drawn(copies: int):
    stream = torch.Generator().manual_seed(1)
    x, noise = (torch.randn(*size, 1, 8, 8, generator=stream) for size in ((EXAMPLES,), (EXAMPLES, copies)))
    return x, torch.arange(EXAMPLES) % CLASSES, torch.randint(0, 10, (EXAMPLES, copies), generator=stream), noise


def close(found, wanted, tolerance):
    """All coordinates together, relative."""
    gap = torch.stack([(a - b).norm() for a, b in zip(found, wanted, strict=True)]).norm()
    assert gap <= tolerance * torch.stack([b.norm() for b in wanted]).norm()


def silent(n: int, clip: float) -> Ledger:
    """A ledger whose batches are everyone, and without noise."""
    return Ledger(n, 1.0, 0.0, clip, 100, 1e-5)


def ours(network, copies, clip, batch):
    book, parameters = silent(EXAMPLES, clip), [p for p in network.parameters() if p.requires_grad]
    with per_example(network, copies) as gradients:
        Schedule().loss_per_example(network, *batch).sum().backward()
        return private_gradient([(book.batch(0), gradients.take(EXAMPLES))], parameters, book, 0)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # of theirs, at the first layer
@pytest.mark.parametrize("trained", ["all", "attention"])
def test_a_step_equals_opacus_hooks_without_copies(unet, trained):
    """All parameters of the U-Net, and those of its attention; the clip is inside the range of the examples' norms."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    for layer in unet.modules():  # of other inputs its gradients of convolutions are wrong
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda layer, given: (given[0].contiguous(),))
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(trained == "all" or "attentions" in name)
    batch = drawn(1)
    with per_example(unet) as gradients:
        Schedule().loss_per_example(unet, *batch).sum().backward()
        sizes = norms(gradients.take(EXAMPLES))
    clip = float(sizes.median())
    assert sizes.min() < clip < sizes.max()
    found = ours(unet, 1, clip, batch)
    wrapped = GradSampleModule(
        unet, batch_first=True, loss_reduction="sum"
    ).train()  # it looks at layers in training alone
    parameters = [p for p in unet.parameters() if p.requires_grad]
    theirs = DPOptimizer(
        torch.optim.SGD(parameters, lr=0.0), noise_multiplier=0.0, max_grad_norm=clip, expected_batch_size=EXAMPLES
    )
    Schedule().loss_per_example(wrapped, *batch).sum().backward()
    theirs.step()
    wanted = [p.grad.clone() for p in parameters]
    close(found, wanted, 1e-5)


def test_a_step_of_four_copies_equals_torch_func(unet):
    values, batch, clip = dict(unet.named_parameters()), drawn(4), 0.05

    def loss(parameters, x, y, t, noise):
        call = lambda *rows: torch.func.functional_call(unet, parameters, rows)  # noqa: E731
        return Schedule().loss_per_example(call, x[None], y[None], t[None], noise[None])[0]

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0, 0, 0))(values, *batch)
    flat = torch.cat([each[name].detach().flatten(1) for name in values], 1)
    assert (flat.norm(dim=1) > clip).any()
    wanted = ((clip / flat.norm(dim=1)).clamp(max=1)[:, None] * flat).sum(0) / EXAMPLES
    found = torch.cat([part.flatten() for part in ours(unet, 4, clip, batch)])
    close([found], [wanted], 1e-5)


def example_gradients(copies_apart: bool, copies: int = 4):
    """Of a small denoiser: [n, ...], copies averaged, or of each copy's own loss [n K, ...]."""
    method = begun(noise_multiplicity=copies)
    batch = torch.arange(len(method.problem.x))
    method.physical_batch_size = len(batch)
    with per_example(method.adapted, 1 if copies_apart else copies) as gradients:
        ((_, losses),) = method._losses(batch, 0)
        losses.sum().backward()
        taken = gradients.take(len(batch) * (copies if copies_apart else 1))
    return [copies * g for g in taken] if copies_apart else taken


def moved(gradients, rows, clip):
    """The norm of sum(D) - sum(D without rows), float64."""
    kept = torch.ones(len(gradients[0]), dtype=torch.bool)
    kept[rows] = False
    whole, without = clipped_sum(gradients, clip), clipped_sum([g[kept] for g in gradients], clip)
    return float(torch.stack([(a.double() - b.double()).norm() for a, b in zip(whole, without)]).norm())


@pytest.mark.parametrize("clip", [1e-3, 0.1, 10.0])
def test_an_image_moves_the_sum_by_at_most_c(clip):
    """Every image of the data left out in turn, four copies each."""
    gradients = [g.double() for g in example_gradients(False)]
    assert max(moved(gradients, [i], clip) for i in range(24)) <= clip * (1 + 1e-6)


def test_copies_as_separate_examples_move_it_by_more():
    """What a stock per-example library does with repeated rows: each copy is clipped, and an image's four are summed."""
    gradients, clip = [g.double() for g in example_gradients(True)], 1e-3
    assert norms(gradients).min() > clip
    most = max(moved(gradients, range(4 * i, 4 * i + 4), clip) for i in range(24))
    assert 1.5 * clip < most <= 4 * clip * (1 + 1e-6)


def test_the_clipped_sum_is_that_of_each_example():
    torch.manual_seed(0)
    gradients = [torch.randn(5, 3, 2), torch.randn(5, 4)]
    wanted = torch.zeros(10)
    for i in range(5):
        one = torch.cat([g[i].flatten() for g in gradients])
        wanted += one * min(1.0, 2.5 / float(one.norm()))
    found = torch.cat([part.flatten() for part in clipped_sum(gradients, 2.5)])
    torch.testing.assert_close(found, wanted)
    assert [part.shape for part in clipped_sum(gradients, 2.5)] == [(3, 2), (4,)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_an_example_without_a_finite_gradient_counts_as_0(bad):
    gradients = [torch.ones(3, 2), torch.ones(3, 1)]
    gradients[0][1, 0] = bad
    kept = [g[[0, 2]] for g in gradients]
    for a, b in zip(clipped_sum(gradients, 0.5), clipped_sum(kept, 0.5)):
        assert torch.equal(a, b)


def test_an_example_without_a_gradient_adds_nothing():
    assert clipped_sum([torch.zeros(3, 2)], 1.0)[0].tolist() == [0.0, 0.0]


def test_an_empty_batch_is_noise_over_the_expected_batch(monkeypatch):
    """sigma C / (q N) in each coordinate, and nothing else."""
    from bench.tasks.generation import ledger

    monkeypatch.setattr(ledger, "poisson_batch", lambda n, rate, stream: torch.empty(0, dtype=torch.int64))
    book, other = (Ledger(30, 0.2, 1.5, 0.4, 5, 1e-3, seed=4) for _ in range(2))
    like = [torch.zeros(40, 30), torch.zeros(9)]
    assert len(book.batch(0)) == len(other.batch(0)) == 0
    found = private_gradient([], like, book, 0)
    for a, b in zip(found, other.noise(0, like)):
        assert torch.equal(a, b / 6)
    assert torch.cat([a.flatten() for a in found]).std() == pytest.approx(1.5 * 0.4 / 6, rel=0.1)


def test_gradients_of_copies_or_of_other_examples_are_refused():
    book, like = silent(4, 1.0), [torch.zeros(2)]
    with pytest.raises(Refused, match="8 gradients of 4 examples; one each, copies averaged"):
        private_gradient([(book.batch(0), [torch.zeros(8, 2)])], like, book, 0)
    with pytest.raises(Refused, match="not over the Poisson batch"):
        private_gradient([(torch.tensor([0, 1]), [torch.zeros(2, 2)])], like, book, 0)
