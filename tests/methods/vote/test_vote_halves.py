"""The two halves of votes: laws of random signs, what ties are, identities between methods, workers alone and together, what the wire carries."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from methods.vote.baselines import SSDM, MVStoSignSGDSIM, SignSGDMV, SignumMV, StoSignSGD
from methods.vote.dvr import DVRQ, DVRSign
from methods.vote.halves import Difference, Majority, Momentum, Recursion, StochasticMajority, Storm, Worker, bits
from methods.vote.signs import Radius, ScaledSigns, Signs, StochasticSigns, ball, box, sign, stochastic_sign
from methods.vote.ssvr_mv import SSVRMV, SSVRMVStochastic

N, D, STEPS = 4, 6, 30
METHODS = {
    "ssvr_mv": lambda: SSVRMV(lr=0.1, beta=0.4),
    "ssvr_mv_random": lambda: SSVRMV(lr=0.1, beta=0.4, radius=3.0, ties="random"),
    "ssvr_mv_quantile": lambda: SSVRMV(lr=0.1, beta=0.4, quantile=0.7),
    "ssvr_mv_stochastic": lambda: SSVRMVStochastic(lr=0.1, beta=0.4, radius=2.0, projection="ball"),
    "dvr_sign": lambda: DVRSign(lr=0.1, beta=0.4),
    "dvr_q": lambda: DVRQ(lr=0.1, beta=0.4),
    "signsgd_mv": lambda: SignSGDMV(lr=0.1),
    "signum_mv": lambda: SignumMV(lr=0.1, beta=0.4),
    "ssdm": lambda: SSDM(lr=0.1, beta=0.4),
    "sto_signsgd": lambda: StoSignSGD(lr=0.1),
    "mv_sto_signsgd_sim": lambda: MVStoSignSGDSIM(lr=0.1, beta=0.4, radius=3.0),
}


def largest(own: Tensor) -> Tensor:
    return own.amax(0, keepdim=True)


def never() -> Tensor:
    raise AssertionError("nothing is drawn here")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rand(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(count: int) -> Tensor:
    """Midpoints of [0, 1): numbers that stand for the uniform law."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


# ---- random signs


@pytest.mark.parametrize("radius", [1.5, 2.0, 7.0])
def test_a_random_sign_has_the_mean_and_variance_of_its_law(radius):
    """E S_R(v) = v / R and E ||R S_R(v) - v||^2 = d R^2 - ||v||^2; probabilities are multiples of 1 / 2^12 or within one of it."""
    v, count = torch.tensor([-1.5, -0.3, 0.0, 0.4, 1.2], dtype=torch.float64), 4096
    drawn = stochastic_sign(v, radius, lambda: grid(count)[:, None].expand(count, len(v)))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(drawn.mean(0), v / radius, rtol=0, atol=2 / count)
    variance = (radius * drawn - v).square().sum(1).mean()
    assert float(variance) == pytest.approx(len(v) * radius**2 - float(v.square().sum()), abs=2 * radius**2 / count)


def test_a_random_sign_at_and_beyond_its_radius_is_the_sign_and_of_nothing_a_coin():
    v = torch.tensor([2.0, -2.0, 5.0, -5.0], dtype=torch.float64)
    for u in (0.0, 0.5, 1 - 2.0**-53):
        drawn = stochastic_sign(v, 2.0, lambda u=u: torch.full_like(v, u))
        assert drawn.tolist() == [1.0, -1.0, 1.0, -1.0]
    none = torch.zeros(2, 1, dtype=torch.float64)
    halves = stochastic_sign(none.expand(2, 8), none, lambda: grid(8).expand(2, 8))
    assert halves.tolist() == [[1.0] * 4 + [-1.0] * 4] * 2


@pytest.mark.parametrize(
    ("encode", "expected"),
    [
        (StochasticSigns(Radius(4.0)), lambda v: v / 4),
        (StochasticSigns(Radius()), lambda v: v / v.abs().max()),
        (ScaledSigns(), lambda v: v),
    ],
)
def test_the_mean_message_is_the_estimate_in_units_of_its_radius(encode, expected):
    """All workers have one radius; scaled signs bring their own."""
    v, count = randn(2, 3), 4096
    drawn = torch.stack([encode(v, largest, lambda u=u: u.expand(2, 3)) for u in grid(count)])
    torch.testing.assert_close(drawn.mean(0), expected(v), rtol=0, atol=4 * float(v.abs().max()) / count)


def test_a_quantile_s_radius_is_the_largest_of_the_workers_and_clips():
    v = torch.stack([torch.arange(11.0), torch.arange(11.0) / 2]).double()
    assert Radius(quantile=0.8).of(v, largest).tolist() == [[8.0]]
    assert Radius().of(v, largest).tolist() == [[10.0]]
    assert Radius(3.0).of(v, never) == 3.0
    sent = StochasticSigns(Radius(quantile=0.8))(v, largest, lambda: torch.full_like(v, 1 - 2.0**-53))
    assert sent[0].tolist() == [-1.0] * 8 + [1.0] * 3, "at R = 8 and above it is the sign"


def test_the_three_worker_identity():
    """E sign(q_1 + q_2 + q_3) = (m_1 + m_2 + m_3 - m_1 m_2 m_3) / 2, the law summed over 32^3 triples of numbers, m_j odd parts of 32."""
    m = torch.tensor([[-5.0, 7.0, 11.0], [1.0, 2.0, -3.0], [16.0, 16.0, -16.0]], dtype=torch.float64).mul(2) / 32
    triples = torch.cartesian_prod(grid(32), grid(32), grid(32)).T  # [3, 32^3]
    for case in m:
        votes = StochasticSigns(Radius(1.0))(case[:, None].expand(3, 32**3), largest, lambda: triples)
        mean = Majority("zero").vote(votes, never).mean()
        assert float(mean) == pytest.approx(float(case.sum() - case.prod()) / 2, abs=1e-12)


def test_a_random_majority_has_the_mean_vote_as_its_mean():
    votes = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]).double()
    drawn = torch.stack([StochasticMajority().vote(votes, lambda u=u: u.expand(3)) for u in grid(64)])
    assert drawn.mean(0).tolist() == [1.0, 0.0, -0.5]


# ---- ties and projections


def test_sign_of_zero_is_what_is_asked_for():
    v = torch.tensor([0.0, -0.0, 2.0, -3.0], dtype=torch.float64)
    assert sign(v, "zero", never).tolist() == [0.0, 0.0, 1.0, -1.0]
    assert sign(v, "plus", never).tolist() == [1.0, 1.0, 1.0, -1.0]
    u = torch.tensor([0.2, 0.8, 0.8, 0.2], dtype=torch.float64)
    assert sign(v, "random", lambda: u).tolist() == [1.0, -1.0, 1.0, -1.0]


def test_a_vote_and_its_mirror_image_have_opposite_outcomes():
    """Of all 3^4 votes of four workers: a tie leans to no side."""
    votes = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=4))).double().T
    outcome, mirrored = (Majority("zero").vote(v, never) for v in (votes, -votes))
    assert torch.equal(outcome, -mirrored)
    assert int((outcome == 0).sum()) == 19


def test_projections_are_the_nearest_points():
    v = torch.tensor([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(ball(v, 2.5), torch.tensor([[1.5, 2.0], [0.3, -0.4], [0.0, 0.0]]).double())
    assert box(v, 3.5).tolist() == [[3.0, 3.5], [0.3, -0.4], [0.0, 0.0]]


def test_the_projected_estimate_is_what_the_next_one_builds_on():
    storm, state = Storm(0.5, lambda v: ball(v, 1.0)), {}
    first = storm(state, torch.tensor([3.0, 4.0]).double(), None)
    torch.testing.assert_close(first, torch.tensor([0.6, 0.8]).double())
    second = storm(state, torch.tensor([0.1, 0.0]).double(), torch.tensor([0.2, 0.2]).double())
    torch.testing.assert_close(second, torch.tensor([0.1 + 0.5 * 0.4, 0.5 * 0.6]).double())


# ---- identities


@pytest.mark.parametrize("beta", [0.01, 0.5, 1.0])
def test_exact_gradients_leave_the_estimate_exact_for_every_beta(beta):
    """Of workers and of the server's own recursion."""
    storm, difference, at_worker, z = Storm(beta), Difference(beta), {}, None
    old = None
    for t in range(20):
        g = randn(N, D, seed=t)
        h = difference({}, g, old)
        z = h.mean(0) if z is None else (1 - beta) * z + h.mean(0)
        torch.testing.assert_close(storm(at_worker, g, old), g, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(z, g.mean(0), rtol=1e-12, atol=1e-12)
        old = g


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_the_server_s_recursion_is_the_mean_of_the_workers(beta):
    """DVR's z is the mean over workers of SSVR-MV's v when nothing is rounded to signs: noise stays, and is the same."""
    storm, difference, server, state, old = (
        Storm(beta),
        Difference(beta),
        Recursion(beta, "zero", scaled=False),
        {},
        None,
    )
    for t in range(20):
        g = randn(N, D, seed=t)
        v = storm(state, g, old)
        s = server.vote(difference({}, g, old), never)
        torch.testing.assert_close(server.state["estimate"], v.mean(0), rtol=1e-12, atol=1e-12)
        assert torch.equal(s, server.state["estimate"].sign())
        old = g + 0.1 * randn(N, D, seed=100 + t)


@pytest.mark.parametrize("ties", ["zero", "random", "plus"])
def test_without_memory_and_with_exact_signs_it_is_signsgd_with_majority_vote(ties):
    """beta = 1, and all entries at the radius, where a random sign is the sign."""
    ours, theirs = SSVRMV(lr=0.1, beta=1.0, ties=ties), SignSGDMV(lr=0.1, ties=ties)
    halves = [(m.worker(), m.server()) for m in (ours, theirs)]
    assert not halves[0][0].wants_previous
    tied = 0
    for t in range(STEPS):
        g, u, toss = 3 * randn(N, D, seed=t).sign(), rand(N, D, seed=t), rand(D, seed=50 + t)
        s, expected = (
            server.vote(worker.message(g, None, largest, lambda u=u: u), lambda toss=toss: toss)
            for worker, server in halves
        )
        assert torch.equal(s, expected)
        tied += int((g.sum(0) == 0).sum())
    assert tied > STEPS


def test_momentum_and_variance_reduction_differ_by_the_second_gradient_alone():
    """m_t + (1 - beta) (g_t - g_t(x_{t-1})) recursively: with the same gradient at both points STORM is momentum."""
    momentum, storm, one, other = Momentum(0.3), Storm(0.3), {}, {}
    for t in range(10):
        g = randn(N, D, seed=t)
        torch.testing.assert_close(momentum(one, g, None), storm(other, g, g if t else None))


# ---- halves in one process and apart, and the wire


def run(name: str, apart: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Messages and directions of a few steps: one half for all workers, or one each."""
    method = METHODS[name]()
    workers, server = [method.worker() for _ in range(N if apart else 1)], method.server()
    send, sent, answered, before = (_apart if apart else _together), [], [], None
    for t in range(STEPS):
        g, u, toss = randn(N, D, seed=t), rand(N, D, seed=50 + t), rand(D, seed=100 + t)
        sent.append(send(workers, g, before if workers[0].wants_previous else None, u))
        answered.append(server.vote(sent[-1], lambda toss=toss: toss))
        before = g + 0.3 * randn(N, D, seed=200 + t)
    return sent, answered


def _together(workers: list[Worker], g: Tensor, old: Tensor | None, u: Tensor) -> Tensor:
    return workers[0].message(g, old, largest, lambda: u)


def _apart(workers: list[Worker], g: Tensor, old: Tensor | None, u: Tensor) -> Tensor:
    """Each worker has its own row; what they tell each other is heard from copies of them first."""
    told: list[Tensor] = []

    def hear(own: Tensor) -> Tensor:
        told.append(own)
        return own

    def row(worker: Worker, j: int, all_: Callable[[Tensor], Tensor]) -> Tensor:
        return worker.message(g[j], None if old is None else old[j], all_, lambda: u[j])

    for j, worker in enumerate(workers):
        row(deepcopy(worker), j, hear)
    return torch.stack([row(worker, j, lambda own: torch.stack(told).amax(0)) for j, worker in enumerate(workers)])


def votes_apart(name: str) -> None:
    """What a worker sends depends on its own gradients, its own numbers and the largest of all alone."""
    for one, other in zip(run(name, apart=False), run(name, apart=True)):
        assert all(torch.equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize("name", METHODS)
def test_workers_apart_and_together_send_the_same(name):
    votes_apart(name)


def fits_the_wire(name: str) -> None:
    """Messages and directions take as many values a coordinate as their bits can say, up to a number a tensor where one is sent."""
    method = METHODS[name]()
    encode, server = method.worker().encode, method.server()
    sent, answered = run(name, apart=False)
    for tensors, levels in ((sent, encode.levels), (answered, server.levels(N, encode.levels))):
        whole = torch.stack(tensors)
        scale = whole.abs().amax(-1, keepdim=True)
        assert len((whole / scale.where(scale > 0, 1.0)).unique()) <= levels
        numbers = encode.floats if tensors is sent else server.floats
        if not numbers and levels <= 3:
            assert set(whole.unique().tolist()) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("name", METHODS)
def test_what_is_sent_fits_the_bits_that_are_counted(name):
    fits_the_wire(name)


def test_bits_of_each_method():
    """A thousand coordinates, four and five workers: (up, down)."""
    d = 1000
    wanted = {
        "ssvr_mv": (
            (d + 32, 2 * d + 32),
            (d + 32, d + 32),
        ),  # the radius is agreed upon; an even number of votes may tie
        "ssvr_mv_random": ((d, d), (d, d)),
        "ssvr_mv_stochastic": ((d, d), (d, d)),
        "dvr_sign": ((d + 32, 2 * d), (d + 32, 2 * d)),
        "dvr_q": ((d + 32, d + 32), (d + 32, d + 32)),
        "signsgd_mv": ((2 * d, 2 * d), (2 * d, 2 * d)),
        "ssdm": ((d, 3 * d), (d, 3 * d)),
        "mv_sto_signsgd_sim": ((d, 2 * d), (d, d)),
    }
    for name, counts in wanted.items():
        assert tuple(METHODS[name]().bits(d, n) for n in (4, 5)) == counts, name
    assert bits(2, 1, 100) == 132


# ---- what is refused


def test_a_weight_beyond_one_and_a_projection_without_a_radius_are_refused():
    for make in (Storm, Difference, Momentum, lambda beta: Recursion(beta, "zero", scaled=True)):
        for beta in (0.0, 1.5):
            with pytest.raises(ValueError, match=f"beta = {beta}"):
                make(beta)
    with pytest.raises(ValueError, match="projection = ball"):
        SSVRMVStochastic(lr=0.1, beta=0.5, projection="ball")


def test_signs_at_worker_and_server_follow_one_convention():
    assert Signs("plus").levels == 2
    assert Signs("zero").levels == 3
    method = SignumMV(lr=0.1, beta=0.5, ties="plus")
    sent = method.worker().message(torch.zeros(2, 3).double(), None, largest, never)
    assert method.server().vote(sent - torch.tensor([[0.0], [2.0]]), never).tolist() == [1.0, 1.0, 1.0]
