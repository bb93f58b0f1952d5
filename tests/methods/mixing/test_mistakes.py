"""Each classic mistake in mixing breaks a test that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from outside_made import module

from mistakes.multimix import PLANTS

HERE = "methods/mixing"
NOTICED = {  # mistake: tests of the files beside this one, with their arguments
    "new-partners": [
        ("test_image_pairs", "test_all_k_points_of_a_pair_lie_on_one_segment_where_their_labels_say", ()),
        ("test_interpolated", "test_the_loss_is_the_mean_over_k_of_the_losses_of_the_interpolations", ("passes",)),
    ],
    "in-place": [
        ("test_cutmix", "test_boxes_of_a_pair_are_cut_out_of_the_image_as_it_is", ()),
        ("test_interpolated", "test_boxes_of_the_k_passes_are_cut_out_of_the_batch", ()),
    ],
    "unclipped-weight": [
        ("test_cutmix", "test_a_label_s_weight_is_the_share_of_pixels_that_are_kept", ()),
        ("test_interpolated", "test_mixed_labels_are_probabilities_with_the_weight_of_their_pixels", ()),
    ],
    "sorted-images": [
        ("test_image_pairs", "test_all_k_points_of_a_pair_lie_on_one_segment_where_their_labels_say", ()),
        ("test_interpolated", "test_mixed_labels_are_probabilities_with_the_weight_of_their_pixels", ()),
    ],
    "averaged-logits": [
        (
            "test_interpolated",
            "test_the_loss_is_the_mean_over_k_of_the_losses_of_the_interpolations",
            ("concatenated",),
        ),
    ],
    "summed-passes": [
        ("test_interpolated", "test_the_loss_is_the_mean_over_k_of_the_losses_of_the_interpolations", ("passes",)),
    ],
    "one-lambda": [
        ("test_image_pairs", "test_all_k_points_of_a_pair_lie_on_one_segment_where_their_labels_say", ()),
        ("test_interpolated", "test_the_k_passes_have_lambdas_of_their_own", ()),
    ],
    "last-pass-alone": [
        ("test_interpolated", "test_passes_have_the_statistics_of_n_images_and_one_pass_those_of_all", ())
    ],
}


def named(file: str, name: str) -> Callable[..., None]:
    return getattr(module(f"{HERE}/{file}.py"), name)


@pytest.mark.parametrize(("mistake", "test"), [(m, t) for m, tests in NOTICED.items() for t in tests])
def test_a_mistake_is_noticed_by_a_test_that_holds_without_it(mistake, test):
    file, name, arguments = test
    named(file, name)(*arguments)
    with PLANTS[mistake](), pytest.raises(AssertionError):
        named(file, name)(*arguments)


def test_mixed_test_images_are_noticed(job, tmp_path):
    check = named("test_runs", "test_test_images_are_not_mixed")
    with PLANTS["mixed-tests"](), pytest.raises(AssertionError):
        check(job, tmp_path)


def test_every_mistake_has_a_test():
    assert {*NOTICED, "mixed-tests"} == set(PLANTS)
