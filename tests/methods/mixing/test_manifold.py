"""Manifold mixup: where it mixes, in every network of the suite, and that the layers below see each image once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mixing_points import Recorder, batch, convolutional, given, look, network
from torch import nn

from bench.errors import UserError
from bench.models import mlp, preact_resnet18, resnet8, resnet18, resnet20, small_cnn
from bench.models.wide_resnet import wrn28_10
from methods.mixing.manifold import Place, stages
from methods.mixing.pairs import draw_order, draw_weights, mix, one_hot

SHAPES = {  # of the features of layers 1 and 2, for 16 x 16 images
    "resnet8": (lambda: resnet8(3, 4, 16), (16, 16), (32, 8)),
    "resnet20": (lambda: resnet20(3, 4, 16), (16, 16), (32, 8)),
    "resnet18": (lambda: resnet18(3, 4, 16), (64, 16), (128, 8)),
    "preact_resnet18": (lambda: preact_resnet18(3, 4, 16), (64, 16), (128, 8)),
    "small_cnn": (lambda: small_cnn(3, 4, 16, width=5), (5, 8), (10, 4)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_layers_1_and_2_are_the_ends_of_the_first_two_stages(name):
    make, *expected = SHAPES[name]
    model = make()
    shapes = []
    for module in stages(model)[:2]:
        module.register_forward_hook(lambda m, i, h: shapes.append((h.shape[1], h.shape[2])))
    model(torch.zeros(2, 3, 16, 16))
    assert shapes == expected


def test_wide_and_plain_networks_have_stages_too():
    wide = wrn28_10(3, 4, 32, dropout=0.0)
    assert [m.conv2.out_channels for m in stages(wide)] == [160, 320, 640]
    assert [m is wide[i] for m, i in zip(stages(wide), (4, 8, 12))] == [True] * 3
    assert len(stages(mlp(3, 4, 8, hidden=[7, 6]))) == 2
    with pytest.raises(ValueError, match="layer1, layer2"):
        stages(nn.Sequential(nn.Flatten(), nn.Linear(3, 4)))


@pytest.mark.parametrize("form", ["passes", "concatenated"])
def test_at_layer_0_it_is_the_input_s_mix(form):
    x, y = batch()
    model, other = convolutional(), convolutional()
    manifold = given("multimix_manifold", model, layers=[0], k=3, alpha=1.0, batch_norm=form)
    for a, b in zip(look(manifold, model, x, y), look(given("multimix", other, k=3, batch_norm=form), other, x, y)):
        assert a == b if isinstance(a, list) else torch.equal(a, b)


@pytest.mark.parametrize("layer", [1, 2])
def test_features_of_a_layer_are_mixed_and_what_is_below_runs_once(layer):
    """By hand: the network cut in two at the end of a stage."""
    x, y = batch()
    model, hand = convolutional(), convolutional()
    seen = Recorder(model)
    loss, gradient, counts = look(given("multimix_manifold", model, layers=[layer], k=3), seen, x, y, seed=2)
    assert [len(images) for images in seen.seen] == [6], "the trunk takes N images"
    g = torch.Generator().manual_seed(2)
    order, weights = draw_order(6, g), draw_weights(6, 3, 2.0, generator=g)
    logits = hand[4 * layer :](mix(hand[: 4 * layer](x), order, weights))
    expected = F.cross_entropy(logits, mix(one_hot(y, 4), order, weights))
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(gradient, torch.cat([p.grad.flatten() for p in hand.parameters()]), rtol=1e-5, atol=1e-8)
    assert counts == [18]
    before = [h(x) for h in (model, hand)]
    torch.testing.assert_close(*before), "outside, the network is itself"


def test_layers_are_drawn_uniformly_and_alike_at_each_look():
    model = convolutional()
    method = given("manifold_mixup", model, layers=[0, 2])
    x, _ = batch()
    drawn = [
        method._plan(x, torch.arange(6), torch.ones(1, 6), torch.Generator().manual_seed(seed))[0]
        for seed in range(200)
    ]
    assert set(drawn) == {0, 2}
    assert 70 < drawn.count(2) < 130


def test_a_layer_that_is_not_there_and_a_module_that_does_not_run_are_refused():
    model = network()
    with pytest.raises(UserError, match=r"layers = \[0, 3\]: 0 is the input, and this network has stages up to 1"):
        given("manifold_mixup", model, layers=[0, 3])
    with pytest.raises(UserError, match="did not run"):
        Place(nn.ReLU()).run(model, batch()[0], torch.arange(6), torch.ones(1, 6))


def test_a_compiled_network_mixes_where_the_plain_one_does():
    """Also after one like it was compiled that mixes nowhere, and that one mixes nowhere after it."""
    x, y = batch()
    plain, compiled, bare = (convolutional() for _ in range(3))

    def fast(model):
        network = torch.compile(model, backend="eager")
        network.parameters = model.parameters
        return network

    networks = fast(compiled), fast(bare)
    networks[1](x)
    methods = [given("multimix_manifold", m, layers=[0, 1, 2], k=2) for m in (plain, compiled)]
    for seed in range(6):
        a, b = look(methods[0], plain, x, y, seed), look(methods[1], networks[0], x, y, seed)
        torch.testing.assert_close(a[0], b[0])
        torch.testing.assert_close(a[1], b[1])
    torch.testing.assert_close(networks[1](x), bare(x))
