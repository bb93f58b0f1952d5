"""What a mixing rule cannot do is refused in a line: points that have no parts, a batch of one, laws and shapes that are none."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mixing_points import batch, given, look, network

from bench.errors import UserError
from methods.mixing.cutmix import cutmix
from methods.mixing.pairs import draw_weights, given_weights, multimix, one_hot

X, Y = torch.randn(6, 3, 8, 8), torch.arange(6) % 4


@pytest.mark.parametrize("name", ["cutmix", "multimix_cutmix", "augmix"])
@pytest.mark.parametrize("size", [1, 2])
def test_parts_are_taken_of_images_alone(name, size):
    """Boxes have whole pixels: of two a side none is ever pasted."""
    model = network(torch.nn.Flatten(), torch.nn.Linear(3 * size**2, 4))
    with pytest.raises(UserError, match=rf"parts of images, and these have {size} x {size} pixels; at least 3 a side"):
        look(given(name, model), model, *batch(size=size))


def test_of_three_pixels_a_side_boxes_are_pasted():
    mixed, _ = cutmix(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 3, 3), Y, k=50, num_classes=4)
    assert (mixed.flatten(1).amax(1) != mixed.flatten(1).amin(1)).any()


def test_a_square_larger_than_the_image_is_refused():
    model = network()
    with pytest.raises(UserError, match=r"method\.size = 9: more than the images' 8 pixels; at most that"):
        look(given("cutout", model, size=9), model, *batch())
    look(given("cutout", model, size=8), model, *batch())


@pytest.mark.parametrize("name", ["mixup", "multimix", "cutmix", "multimix_manifold", "puzzle_mix"])
def test_a_minibatch_of_one_has_no_pairs(name):
    model = network(torch.nn.Flatten(), torch.nn.Linear(192, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    keys = {"layers": [0, 1]} if "manifold" in name else {}
    with pytest.raises(UserError, match=r"a minibatch has one image; task\.batch_size of at least 2"):
        look(given(name, model, **keys), model, *batch(n=1))


@pytest.mark.parametrize(("k", "alpha"), [
    (0, 1.0), (1001, 1.0), (5, 0.0), (5, -1.0), (5, math.inf), (5, math.nan), (5, 1e-310), (5, 1e301),
])  # fmt: skip
def test_a_law_that_is_none_is_refused_by_function_and_method(k, alpha):
    said = r"^k = .*: from 1 to 1000 interpolations" if alpha == 1 else r"^alpha = .*: a number from 1e-300 to 1e\+300"
    with pytest.raises(ValueError, match=said):
        multimix(X, Y, k, alpha, num_classes=4)
    with pytest.raises(ValueError, match=said):
        cutmix(X, Y, k, alpha, num_classes=4)
    with pytest.raises(UserError, match=said.replace("^", "^method: ")):
        given("multimix", network(), k=k, alpha=alpha)


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1e3, 1e300])
@pytest.mark.parametrize("stratified", [False, True])
def test_at_the_law_s_ends_weights_are_shares(alpha, stratified):
    weights = draw_weights(1000, 4, alpha, stratified=stratified, generator=torch.Generator().manual_seed(0))
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("weights", [-0.1, 1.5, [0.2, math.nan], torch.full((2, 6), 1.0001)])
def test_a_weight_is_a_share(weights):
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        multimix(X, Y, weights=weights, num_classes=4)


@pytest.mark.parametrize("shape", [(2, 5), (0,), (1, 2, 6)])
def test_weights_have_a_row_for_each_interpolation(shape):
    with pytest.raises(ValueError, match=r"weights of shape \[.*: \[\], \[k\] or \[k, 6\]"):
        given_weights(torch.zeros(shape), 6, torch.device("cpu"))
    assert given_weights(torch.zeros(3, 1), 6, torch.device("cpu")).shape == (3, 6)


@pytest.mark.parametrize("rule", [multimix, cutmix])
@pytest.mark.parametrize(("y", "said"), [
    (Y[:5], "x of 6 and y of 5: one label"),
    (Y[:, None], r"y of shape \[6, 1\]: labels \[B\], or probabilities \[B, C\]"),
    (torch.zeros(6, 2, 2), r"y of shape \[6, 2, 2\]"),
    (Y.float(), r"y of torch\.float32: labels \[B\] are integers"),
])  # fmt: skip
def test_labels_that_are_none_are_refused(rule, y, said):
    with pytest.raises(ValueError, match=said):
        rule(X, y, num_classes=4)


def test_rows_of_whole_numbers_are_probabilities():
    assert torch.equal(one_hot(F.one_hot(Y, 4)), F.one_hot(Y, 4).float())


def test_cutmix_wants_four_axes():
    with pytest.raises(ValueError, match=r"x of shape \[6, 8, 8\]: images \[B, C, H, W\]"):
        cutmix(X[:, 0], Y, num_classes=4)


def test_the_largest_numbers_are_known_before_anything_runs(job):
    """Of interpolations and of a block's shares: a config says so without torch."""
    for method, value in (("multimix", "k=1001"), ("multimix_puzzle", "levels=33")):
        with pytest.raises(UserError, match=rf"^method\.{value.split('=')[0]} = {value.split('=')[1]}: "):
            job(f"method={method}", "dataset=digits", f"method.{value}")


def test_points_of_a_plane_end_the_command_with_a_line(program):
    """As a person meets it: exit code 2."""
    found = program("method=cutmix", "dataset=two_moons", "scale=smoke")
    assert found.returncode == 2
    assert "these have 1 x 1 pixels" in found.stderr + found.stdout
