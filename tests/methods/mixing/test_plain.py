"""Baselines that mix nothing: softer labels, blanked squares."""

from __future__ import annotations

import pytest
import torch
from mixing_points import batch, given, look, network

from bench.errors import UserError
from methods.mixing.plain import blanked


def test_squares_are_blanked_around_uniform_centres_and_clipped():
    x = torch.ones(4000, 3, 6, 5)
    found = blanked(x, 3, torch.Generator().manual_seed(0))
    gone = found == 0
    assert torch.equal(gone.all(1), gone.any(1)), "all channels of a pixel or none"
    assert torch.equal(found[~gone], x[~gone])
    sizes = gone[:, 0].sum((1, 2))
    assert sizes.max() == 9
    assert sizes.min() == 4, "a centre in a corner leaves 2 x 2"
    assert (sizes == 9).double().mean().item() == pytest.approx(4 / 6 * 3 / 5, abs=0.03)
    middle = gone[:, 0].double().mean(0)
    assert middle[2, 2].item() == pytest.approx(9 / 30, abs=0.03)
    assert middle[0, 0].item() == pytest.approx(4 / 30, abs=0.02)


def test_an_even_square_has_its_size():
    found = blanked(torch.ones(500, 1, 12, 12), 4, torch.Generator().manual_seed(0))
    assert (found == 0).sum((1, 2, 3)).max() == 16


def test_without_smoothing_the_labels_are_as_they_are():
    x, y = batch()
    model = network()
    plain = look(given("unmixed", model), model, x, y)
    smooth = look(given("label_smoothing", model, smoothing=0.0), model, x, y)
    torch.testing.assert_close(smooth[0], plain[0])
    torch.testing.assert_close(smooth[1], plain[1])


@pytest.mark.parametrize(("name", "keys"), [("label_smoothing", {"smoothing": 1.5}), ("cutout", {"size": 0})])
def test_wrong_values_are_refused_in_words(name, keys):
    with pytest.raises(UserError, match=rf"{next(iter(keys))} = "):
        given(name, network(), **keys)


def test_test_images_and_labels_of_another_draw_are_not_the_same():
    x, y = batch()
    model = network()
    one, other = (look(given("cutout", model, size=3), model, x, y, seed=s)[0] for s in (0, 1))
    again = look(given("cutout", model, size=3), model, x, y, seed=0)[0]
    assert one == again
    assert one != other
