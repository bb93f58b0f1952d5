"""Each classic mistake in private training breaks a test that says what is wrong with it."""

from __future__ import annotations

import pytest
from outside_made import module

from mistakes.dplora import MISTAKES

PLANTS = {mistake.name: mistake.plant for mistake in MISTAKES}
NOTICED = {  # mistake: a test of test_tuning.py, with its arguments
    "copies-as-examples": ("test_an_image_moves_the_sum_of_a_step_by_at_most_c",),
    "per-layer": ("test_an_image_moves_the_sum_of_a_step_by_at_most_c",),
    "noise-before-averaging": ("test_the_noise_of_a_step_has_sigma_c_over_the_expected_batch", [0, 3, 4]),
    "realised-batch": ("test_the_sum_of_a_step_is_over_the_expected_batch_whatever_was_drawn",),
    "clipped-after-sum": ("test_the_sum_of_a_step_is_that_of_images_clipped_one_by_one",),
    "clip-twice": ("test_the_noise_of_a_step_has_sigma_c_over_the_expected_batch", []),
    "physical-rate": ("test_the_noise_is_calibrated_for_the_rate_of_the_batch", 2, 0),
    "public-counted": ("test_the_noise_is_calibrated_for_the_rate_of_the_batch", 8, 16),
}


def test_all_mistakes_are_there():
    """Others are seen by the claims that name them."""
    assert set(NOTICED) <= set(PLANTS)


@pytest.mark.parametrize("mistake", NOTICED)
def test_a_mistake_is_noticed_by_a_test_that_holds_without_it(mistake):
    name, *arguments = NOTICED[mistake]
    named = getattr(module("methods/private/test_tuning.py"), name)
    named(*arguments)
    with PLANTS[mistake](), pytest.raises(AssertionError):
        named(*arguments)
