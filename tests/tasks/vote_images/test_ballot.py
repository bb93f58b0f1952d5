"""A vote over a network's tensors: who computes what, what is remembered, and that NaN is no vote."""

from __future__ import annotations

import pytest
import torch

from bench.tasks.vote_images.ballot import Ballot
from bench.tasks.vote_images.wire import Wire
from methods.vote.baselines import SSDM, SignSGDMV, SignumMV, StoSignSGD
from methods.vote.dvr import DVRQ, DVRSign
from methods.vote.ssvr_mv import SSVRMV, SSVRMVStochastic

N, SIZES, STEPS = 4, (12, 5), 6
METHODS = {
    "ssvr_mv": lambda: SSVRMV(lr=0.1, beta=0.4),
    "ssvr_mv_stochastic": lambda: SSVRMVStochastic(lr=0.1, beta=0.4, radius=2.0, projection="ball"),
    "dvr_sign": lambda: DVRSign(lr=0.1, beta=0.4),
    "dvr_q": lambda: DVRQ(lr=0.1, beta=0.4),
    "signum_mv": lambda: SignumMV(lr=0.1, beta=0.4, ties="random"),
    "ssdm": lambda: SSDM(lr=0.1, beta=0.4),
}


def gradients(step: int, point: int = 0) -> list[list[torch.Tensor]]:
    stream = torch.Generator().manual_seed(10 * step + point)
    return [[torch.randn(d, generator=stream) for d in SIZES] for _ in range(N)]


def held(ballot: Ballot, steps: range) -> list[list[torch.Tensor]]:
    found = []
    for step in steps:
        previous = gradients(step, 1) if ballot.wants_previous else None
        found.append(ballot(step, gradients(step), previous))
    return found


def same(one: list, other: list) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


class Second(Wire):
    """The wire of the second of two processes, which hears that every radius is 9."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.own = range(workers // 2, workers)

    def largest(self, own: torch.Tensor) -> torch.Tensor:
        return torch.full((own.shape[1],), 9.0)


class All(Second):
    """The same of a process that has all workers."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.own = range(workers)


@pytest.mark.parametrize("name", METHODS)
def test_a_worker_s_packets_do_not_depend_on_who_else_is_in_its_process(name):
    """Packets of workers 2 and 3 computed apart are rows 2 and 3 of all."""
    whole, apart = (Ballot(METHODS[name](), SIZES, wire(N), 7) for wire in (All, Second))
    for step in range(3):
        now, old = gradients(step), gradients(step, 1) if whole.wants_previous else None
        packets = whole._packets(step, now, old)
        assert same([packets[2:]], [apart._packets(step, now[2:], None if old is None else old[2:])])
        whole.steps = apart.steps = step + 1


@pytest.mark.parametrize("name", METHODS)
def test_a_gradient_that_is_not_finite_is_no_vote_and_nothing_is_remembered(name):
    """NaN in one coordinate of one worker: no direction; the votes after it are those of a ballot that never saw it."""
    plain, broken = (Ballot(METHODS[name](), SIZES, Wire(N), 3) for _ in range(2))
    first = held(plain, range(2))
    assert same(held(broken, range(2)), first)
    for bad in (torch.nan, torch.inf):
        now, old = gradients(9), gradients(9, 1) if broken.wants_previous else None
        now[2][1][3] = bad
        assert broken(2, now, old) is None
    if plain.wants_previous:
        now, old = gradients(9), gradients(9, 1)
        old[0][0][0] = torch.nan
        assert broken(2, now, old) is None
    assert same(held(broken, range(3, STEPS)), held(plain, range(3, STEPS)))


def test_a_first_vote_that_fails_leaves_the_next_one_the_first():
    ballot, now = Ballot(METHODS["ssvr_mv"](), SIZES, Wire(N), 3), gradients(0)
    now[0][0][0] = torch.nan
    assert ballot(0, now, None) is None
    assert not ballot.wants_previous
    assert ballot(1, gradients(1), None) is not None
    assert ballot.wants_previous


@pytest.mark.parametrize("name", METHODS)
def test_a_ballot_goes_on_from_its_state(name):
    whole, other = (Ballot(METHODS[name](), SIZES, Wire(N), 5) for _ in range(2))
    held(whole, range(3))
    other.restore(whole.state())
    assert same(held(whole, range(3, STEPS)), held(other, range(3, STEPS)))


def test_coins_of_workers_steps_and_tensors_are_apart():
    ballot = Ballot(METHODS["ssdm"](), (12, 12), Wire(N), 1)
    drawn = [
        ballot._coins(kind, sender, step, p)()
        for kind in (1, 2)
        for sender in (0, 1)
        for step in (0, 1)
        for p in (0, 1)
    ]
    assert len(torch.stack(drawn).unique(dim=0)) == len(drawn)


def test_coins_of_workers_are_independent():
    """Of workers with one and the same estimate votes still differ, and their mean is the estimate over R."""
    wide = 4000
    ballot = Ballot(SSDM(lr=1.0, beta=1.0), (wide,), Wire(8), 1)
    v = torch.full((wide,), 0.5)
    (direction,) = ballot(0, [[v]] * 8, None)
    expected, spread = 1 / wide**0.5, (1 / 8) ** 0.5
    assert abs(float(direction.mean()) - expected) < 4 * spread / wide**0.5
    assert float(direction.std()) == pytest.approx(spread, rel=0.1)


def test_the_direction_is_what_went_over_the_wire():
    """Numbers beside signs are rounded to single precision before the server itself steps along them."""
    ballot = Ballot(DVRQ(lr=1.0, beta=1.0), (6,), Wire(2), 0, dtype=torch.float64)
    now = [[torch.full((6,), 0.1 + k / 3, dtype=torch.float64)] for k in range(2)]
    (direction,) = ballot(0, now, None)
    assert direction.dtype == torch.float64
    assert torch.equal(direction, direction.float().double())


def test_a_tie_is_what_the_method_says_on_every_side():
    """Two against two in each coordinate, and a gradient of 0."""
    even = [[torch.tensor([1.0, -1.0, 0.0])], [torch.tensor([-1.0, 1.0, 0.0])]] * 2
    for ties, wanted in (("zero", [0.0] * 3), ("plus", [1.0] * 3)):
        (direction,) = Ballot(SignSGDMV(lr=1.0, ties=ties), (3,), Wire(4), 0)(0, even, None)
        assert direction.tolist() == wanted
    wide = [[g.repeat(2000)] for (g,) in even]
    for method in (SignSGDMV(lr=1.0, ties="random"), StoSignSGD(lr=1.0, radius=1.0, ties="random")):
        (direction,) = Ballot(method, (6000,), Wire(4), 0)(0, wide, None)
        assert set(direction.unique().tolist()) == {-1.0, 1.0}
        assert abs(float(direction.mean())) < 4 / 6000**0.5


def test_every_message_is_of_the_step_at_hand():
    """Gradients that turn round at every step, and momentum without memory: so does the direction, in every coordinate."""
    ballot = Ballot(SignumMV(lr=1.0, beta=1.0), (6,), Wire(2), 0)
    for step in range(4):
        turned = torch.full((6,), (-1.0) ** step)
        (direction,) = ballot(step, [[turned]] * 2, None)
        assert torch.equal(direction, turned)
