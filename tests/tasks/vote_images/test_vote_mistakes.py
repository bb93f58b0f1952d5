"""Each classic mistake of a vote over the wire breaks a test that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from outside_made import module

from mistakes.votes.images import PLANTS
from mistakes.weakened.ssvr import late_votes

HERE = "tasks/vote_images"
NOTICED = {  # mistake: tests of the files beside this one, with their arguments
    "ties-plus": ("test_ballot", "test_a_tie_is_what_the_method_says_on_every_side", ()),
    "unsent-direction": ("test_ballot", "test_the_direction_is_what_went_over_the_wire", ()),
    "redrawn-split": ("test_workers", "test_who_has_what_is_drawn_once_and_follows_from_the_seed", ("dirichlet",)),
    "pooled-images": ("test_workers", "test_what_is_measured_counts_workers_alike_however_many_images_they_have", ()),
    "nan-votes": (
        "test_ballot",
        "test_a_gradient_that_is_not_finite_is_no_vote_and_nothing_is_remembered",
        ("ssvr_mv",),
    ),
    "common-coins": ("test_ballot", "test_coins_of_workers_are_independent", ()),
    "statistics-twice": (
        "test_workers",
        "test_running_statistics_are_a_worker_s_own_and_a_pass_at_the_last_point_leaves_them",
        (),
    ),
    "shuffled-bits": ("test_coding", "test_what_is_unpacked_is_what_was_packed", (3,)),
}


def named(file: str, name: str) -> Callable[..., None]:
    return getattr(module(f"{HERE}/{file}.py"), name)


@pytest.mark.parametrize("mistake", PLANTS)
def test_a_mistake_is_noticed_by_a_test_that_holds_without_it(mistake):
    file, name, arguments = NOTICED[mistake]
    named(file, name)(*arguments)
    with PLANTS[mistake](), pytest.raises(AssertionError):
        named(file, name)(*arguments)


def test_a_vote_over_estimates_of_different_steps_is_noticed():
    """A half that serves one worker keeps its estimate of the step before."""
    check = named("test_ballot", "test_every_message_is_of_the_step_at_hand")
    check()
    with late_votes(), pytest.raises(AssertionError):
        check()
