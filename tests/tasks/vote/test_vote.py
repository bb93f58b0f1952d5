"""The vote task: claims C and D of SSVR on a seed, streams that belong to workers, resumption, refusals, formulas against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import final, whole_and_resumed

from bench.run.curve import read_metrics
from bench.tasks.vote.draws import CHUNK, SERVER, WORKERS, Uniforms
from datasets.sums.worker_sums import LogCoshCounterexample, WorkerQuadratics

BIAS = ["dataset=log_cosh_workers", "task.theory=false", "task.horizons=[8000]", "task.tail=0.75", "method.lr=0.01"]
OPTIONS = {"ssvr_mv": [], "ssvr_mv_stochastic": ["method.projection=box"]}


def settled(go, method: str, *more: str) -> dict:
    (last,) = final(go(f"method={method}", *BIAS, *more, "seeds=[0]", root=method))
    return last


def test_the_first_option_settles_beside_the_optimum_and_the_second_on_it(go):
    """Root of 3 u - (u + 1/4)^2 (u - 1/2): u = -0.0098. Plain signs go to 1/4."""
    (root,) = (r.real for r in np.roots([-1.0, 0.0, 3.1875, 0.03125]) if abs(r) < 0.1)
    assert root == pytest.approx(-0.00980, abs=5e-6)
    one, two = (
        settled(go, method, "method.beta=0.5", "method.radius=1.0", *more)["tail_grad_mean"]
        for method, more in OPTIONS.items()
    )
    assert -0.0115 < one < -0.0080
    assert abs(two) < 0.002
    assert 0.24 < settled(go, "signsgd_mv")["tail_grad_l1_per_dim"] < 0.255


def test_plain_signs_stop_where_workers_disagree_and_random_ones_go_on(go):
    """At T = 2,000 already; the second option falls at the theory's rate, a quarter, from there to 8,000."""
    found = {}
    for method, keys in {
        "ssvr_mv": ["method.beta=0.5", "method.radius=6.0"],
        "ssvr_mv_stochastic": ["method.beta=1.0", "method.radius=6.0", "method.projection=box"],
        "signsgd_mv": [],
        "signum_mv": ["method.beta=3.0"],
    }.items():
        horizons = [2000, 8000] if method == "ssvr_mv_stochastic" else [2000]
        line = [f"task.horizons={horizons}".replace(" ", ""), "method.lr=1.3416407864998738", "seeds=[0]"]
        (folder,) = go(f"method={method}", "dataset=worker_quadratics", *keys, *line, root=method)
        found[method] = read_metrics(folder)
    plain = min(found[m][0]["tail_grad_l2"] for m in ("signsgd_mv", "signum_mv"))
    assert plain > 5 * found["ssvr_mv"][0]["tail_grad_l2"]
    first, second = (row["mean_grad_l2"] for row in found["ssvr_mv_stochastic"])
    assert -0.35 < np.log(second / first) / np.log(4) < -0.18


def test_plain_votes_without_noise_settle_at_the_median_centre(go):
    """One dimension, six near centres of eight: the middle ones, not the mean."""
    more = [
        "dataset.noise=0",
        "dataset.dim=1",
        "task.theory=false",
        "task.horizons=[4000]",
        "task.tail=0.1",
        "seeds=[0]",
    ]
    (last,) = final(go("method=signsgd_mv", "dataset=worker_quadratics", *more, "method.lr=1e-3"))
    centres = WorkerQuadratics([0], dim=1).centres.flatten().sort().values
    ends = (centres[3:5] - centres.mean()).tolist()  # of eight, any point between the fourth and the fifth is a median
    assert min(ends) - 1e-3 <= last["tail_grad_mean"] <= max(ends) + 1e-3


def test_numbers_of_a_worker_do_not_depend_on_who_else_is_asked():
    alone, all_ = Uniforms([0, 5], WORKERS, [2], 7), Uniforms([5], WORKERS, range(8), 7)
    for step in (0, 3, CHUNK - 1, CHUNK, 5 * CHUNK + 1, 3):
        assert torch.equal(alone.at(step)[0, 1], all_.at(step)[2, 0])
    few, many = WorkerQuadratics([1], workers=4, spread=0.0), WorkerQuadratics([1], workers=8, spread=0.0)
    assert torch.equal(few.sample(9), many.sample(9)[:4])


def test_no_two_steps_senders_or_kinds_share_numbers():
    drawn = [Uniforms([0, 1], kind, range(3), 5).at(step) for kind in range(3) for step in (0, 1, CHUNK, CHUNK + 1)]
    rows = torch.cat([d.reshape(-1, 5) for d in drawn])
    assert len(rows.unique(dim=0)) == len(rows) == 3 * 4 * 3 * 2
    assert not torch.equal(Uniforms([0], SERVER, [0], 5).at(0), Uniforms([0], WORKERS, [0], 5).at(0))


@pytest.mark.parametrize("method", ["ssvr_mv", "dvr_q", "signum_mv"])
def test_a_killed_run_goes_on_from_its_checkpoint(job, tmp_path, method):
    """In the second horizon, beyond the numbers drawn at once."""
    line = ["dataset=worker_quadratics", "task.horizons=[5,300]", "seeds=[0,2]", "tracker=none", "hardware=cpu"]
    whole, resumed = whole_and_resumed(job(f"method={method}", *line, "verbose=false"), tmp_path, 5 + 280)
    assert whole == resumed


def test_gradients_are_autograds_and_their_mean_is_the_full_one():
    x = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    quadratics, cosh = WorkerQuadratics([0, 1], workers=5, dim=6), LogCoshCounterexample([0, 1], dim=6)
    slopes = torch.tensor([0.25, 0.25, -0.5], dtype=torch.float64)[:, None, None]
    values = {
        quadratics: (x - quadratics.centres).square() / 2 + quadratics.sample(0) * x,
        cosh: x.cosh().log() / 2 + slopes * x,
    }
    for problem, each in values.items():
        own = torch.stack([torch.autograd.grad(f.sum(), x, retain_graph=True)[0] for f in each])
        torch.testing.assert_close(problem.gradient(x.detach(), problem.sample(0)), own)
    torch.testing.assert_close(cosh.gradient(x.detach(), None).mean(0), cosh.full_gradient(x.detach()))
    exact = quadratics.gradient(x.detach(), torch.zeros(())).mean(0)
    torch.testing.assert_close(exact, quadratics.full_gradient(x.detach()))


def test_noise_is_uniform_with_the_stated_deviation_and_the_far_are_a_quarter():
    problem = WorkerQuadratics([0, 1], workers=8, dim=50)
    noise = torch.stack([problem.sample(t) for t in range(200)])
    assert float(noise.std()) == pytest.approx(0.5, rel=0.01)
    assert float(noise.abs().max()) <= 0.5 * 3**0.5
    torch.testing.assert_close(
        problem.centres.mean((1, 2)), torch.tensor([3.0] * 2 + [-0.5] * 6).double(), rtol=0, atol=0.05
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["method=ssvr_mv", "task.horizons=[10,10]"], "task.horizons = [10, 10]"),
        (["method=signum_mv", "method.beta=3.0", "task.theory=false"], "method.beta = 3.0"),
        (["method=ssvr_mv_stochastic", "method.radius=null"], "projection = ball"),
    ],
)
def test_what_does_not_fit_is_one_line(program, line, said):
    done = program(*line, "dataset=worker_quadratics")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_beta_of_the_theory_is_one_at_most(go):
    """beta = 3 T^-1/2 is 1 up to T = 9: no memory, signSGD."""
    line = ["dataset=worker_quadratics", "task.horizons=[9]", "seeds=[0]"]
    (one,) = final(go("method=signum_mv", "method.beta=3.0", *line, root="one"))
    (other,) = final(go("method=signsgd_mv", *line, root="other"))
    assert one == other
