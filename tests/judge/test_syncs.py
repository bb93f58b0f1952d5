"""No training loop waits for its device within a step, but where its method must: what is waited for is counted on a CPU as on a GPU."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from classifiers import lines
from conftest import job_of

from bench.judge.device import HostRandom, Rounding, computed, on, tolerances
from bench.judge.syncs import Watch, counted
from bench.seeding import generator
from methods.sign import guarded

SIZES = ["dataset.train_size=64", "task.batch_size=16", "task.gradient_subset=16"]  # the third step logs nothing
ONE_HOT = 2  # checks of F.one_hot, which a GPU does not make
PUZZLE = 1 + 2 * 15 + 5 * ONE_HOT  # five masks a pair from a solver on the host, three rounds each
MOST = {  # by method, in a step; none is given for 0
    "augmix": 168,  # which operation is applied to which image, and how deep the chains are
    "cutmix": ONE_HOT,
    "label_smoothing": ONE_HOT,
    "mixup": ONE_HOT,
    "probed": ONE_HOT,
    "manifold_mixup": 1 + ONE_HOT,  # the layer that is drawn
    "multimix_manifold": 1 + ONE_HOT,
    "multimix": 5 * ONE_HOT,
    "multimix_cutmix": 5 * ONE_HOT,
    "puzzle_mix": 1 + 2 * 3 + ONE_HOT,
    "multimix_puzzle": PUZZLE,
    "clean": PUZZLE,
    "cycsghmc": 1,  # is the gradient finite?
    "sgdm": 1,
    "sghmc": 1,
    "r_sghmc": 2,  # and, on a CPU alone, whether anything has left the box
    "r_cycsghmc": 2,
    "resghmc": 22,  # energies of four chains, and whether they are exchanged
    "r2sghmc": 26,
}
LOOPS = {  # of others the whole run, rows and all: what is read of a row, a time or a batch
    "finite_sum": (["method=signsgd", "dataset=least_squares", "task.horizons=[40,80]"], 9),
    "vote": (["method=ssvr_mv", "dataset=log_cosh_workers"], 3),
    "inference": (["method=ngvi", "dataset=linear_regression", "task.reports=[10,60]", "dataset.n=200"], 20),
}


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch) -> None:
    """Flags are not read though it is free here."""
    monkeypatch.setattr(guarded, "at_hand", lambda flag: False)


@pytest.mark.parametrize("name", lines())
def test_a_step_of_classification(name):
    found = computed(job_of(*lines()[name], *SIZES), watched=True).watch.within_steps()
    assert found is not None
    assert found.total() <= MOST.get(name, 0), found


@pytest.mark.parametrize("task", LOOPS)
def test_other_loops(task):
    line, most = LOOPS[task]
    found = computed(on(job_of(*line, "scale=smoke", "hardware=cpu", "tracker=none")), watched=True).watch.whole()
    assert found.total() <= most, found


def test_what_waits_is_seen():
    watch, x, mask = Watch(), torch.arange(6.0), torch.arange(6) > 2
    watch.start(1)
    with counted(watch):
        x.sum().item(), float(x[0]), bool(mask.any()), x.tolist(), mask.nonzero(), x[mask]
        x[mask] = 0.0
        x[torch.tensor([1, 2])], x.where(mask, 0), x + 1
    watch.step(1)
    kinds = Counter()
    for place, times in watch.steps[0].places.items():
        assert place.startswith("tests/judge/test_syncs.py:")
        kinds[place.partition(" ")[2]] += times
    assert kinds == {"_local_scalar_dense": 3, "tolist": 1, "nonzero": 1, "index by a mask": 2}


def test_a_planted_read_is_found(monkeypatch):
    step = guarded.Guarded._bad

    def reads(self, tensors, wait):
        float(tensors[0].sum())
        return step(self, tensors, wait)

    monkeypatch.setattr(guarded.Guarded, "_bad", reads)
    found = computed(job_of(*lines()["ssvr"], *SIZES), watched=True).watch.within_steps()
    assert found.total() == 1


def test_rounding_moves_a_run_by_little_and_not_its_random_numbers():
    job = job_of(*lines()["sgd"], *SIZES)
    plain = computed(job)
    allowed = tolerances(job, plain)
    assert computed(job).metrics == plain.metrics
    assert 0 < allowed["test_nll"] < 1e-3
    coarse = tolerances(job, plain, relative=2.0**-8)
    assert coarse["test_nll"] > 10 * allowed["test_nll"]
    with Rounding(0):
        assert torch.equal(
            torch.rand(3, generator=generator(0, "order")), torch.rand(3, generator=generator(0, "order"))
        )
        x = torch.full((1000,), 3.0, dtype=torch.float64)
        moved = (x.exp() / torch.full((1000,), 3.0, dtype=torch.float64).exp() - 1).abs()
    assert 0 < moved.max() < 1e-15


def test_the_host_s_random_numbers_are_those_of_its_own_generator():
    def drawn() -> list[torch.Tensor]:
        stream = generator(0, "order")
        x = torch.zeros(4)
        weights = torch.full((2, 3), 0.5, dtype=torch.float64)
        return [
            torch.randperm(5, generator=stream),
            torch.rand(2, 2, generator=stream),
            x.bernoulli_(generator=stream),
            torch._sample_dirichlet(weights, stream),
            torch.randint(9, (3,), generator=stream),
        ]

    expected = drawn()
    with HostRandom("cpu"):
        found = drawn()
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
