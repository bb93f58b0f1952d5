"""Whole runs of the vote task against a naive reference, a worker and a step at a time: each row, each number, each count."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import final, result_of
from reference import vote as naive
from reference.agree import all_compared, same_rows

from bench.run.curve import read_metrics
from bench.tasks.vote.note import NOTE

REL = 1e-9
SEEDS = (0, 3)
QUADRATICS = {"workers": 4, "dim": 5, "share": 0.25, "noise": 0.7}


def lines(group: str, keys: dict[str, Any]) -> list[str]:
    return [f"{group}.{key}={'null' if value is None else value}" for key, value in keys.items()]


def compared(
    go: Any, name: str, horizons: list[int], *, theory: bool, tail: float = 0.5, data: Any = None, **keys: Any
) -> set[str]:
    """Names that agree between a run of the program and the reference. keys: the method's; data: of the quadratics, None: log cosh."""
    dataset = ["dataset=log_cosh_workers", "dataset.dim=3"]
    if data is not None:
        dataset = ["dataset=worker_quadratics", *lines("dataset", data)]
    task = [f"task.horizons={horizons}".replace(" ", ""), f"task.theory={str(theory).lower()}", f"task.tail={tail}"]
    seeds = f"seeds={list(SEEDS)}".replace(" ", "")
    folders = go(f"method={name}", *dataset, *lines("method", keys), *task, seeds)
    names = set()
    for seed, folder, last in zip(SEEDS, folders, final(folders)):
        rows = []
        for horizon in sorted(horizons):
            problem = naive.LogCosh(3) if data is None else naive.Quadratics(seed, *data.values())
            own = naive.theory(name, keys, horizon, problem.dim) if theory else keys
            rows.append(naive.path(problem, seed, name, own, horizon, tail))
        names |= same_rows(read_metrics(folder), rows, REL)
        names |= same_rows([last], [{k: v for k, v in rows[-1].items() if k != "step"}], REL)
        assert result_of(folder)["status"] == "finished"
        measured = result_of(folder)["measured"]
        taken = measured["examples_per_second"] * measured["wall_seconds"]
        workers = 3 if data is None else data["workers"]
        assert taken == pytest.approx(len(SEEDS) * workers * sum(horizons)), "a sample a worker, step and seed"
    return names


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ssvr_mv", {"beta": 0.5, "radius": 6.0}),
        ("ssvr_mv", {"beta": 0.3, "radius": None, "quantile": 0.8, "ties": "random"}),
        ("ssvr_mv_stochastic", {"beta": 1.0, "radius": 4.0, "projection": "ball"}),
        ("ssvr_mv_stochastic", {"beta": 2.0, "radius": 2.0, "projection": "box"}),
        ("ssvr_mv_stochastic", {"beta": 1.0, "radius": None, "projection": None}),
        ("dvr_sign", {"beta": 1.0}),
        ("dvr_q", {"beta": 2.0}),
        ("signsgd_mv", {}),
        ("signsgd_mv", {"ties": "plus"}),
        ("signum_mv", {"beta": 3.0, "ties": "random"}),
        ("ssdm", {"beta": 2.0}),
        ("sto_signsgd", {"radius": None}),
        ("mv_sto_signsgd_sim", {"beta": 3.0, "radius": 5.0, "ties": "plus"}),
    ],
)
def test_of_quadratics_with_the_theorys_steps_over_unequal_horizons(go, name, keys):
    """The longest goes beyond the 256 steps whose numbers are drawn at once; four workers often tie."""
    names = compared(go, name, [3, 1, 270], theory=True, data=QUADRATICS, lr=1.5, **keys)
    all_compared(names, NOTE)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ssvr_mv", {"beta": 0.5, "radius": 1.0}),
        ("ssvr_mv", {"beta": 1.0, "radius": None}),
        ("ssvr_mv_stochastic", {"beta": 0.2, "radius": 1.0, "projection": "box"}),
        ("dvr_sign", {"beta": 0.4, "ties": "plus"}),
        ("dvr_q", {"beta": 0.4}),
        ("signsgd_mv", {}),
        ("ssdm", {"beta": 0.4}),
    ],
)
def test_of_exact_gradients_with_steps_of_ones_own(go, name, keys):
    """Three workers; lr and beta as they stand."""
    compared(go, name, [40], theory=False, tail=0.3, lr=0.05, **keys)


def test_of_workers_and_shares_that_do_not_divide(go):
    """A third of seven workers is two."""
    data = {"workers": 7, "dim": 3, "share": 0.3, "noise": 0.0}
    compared(go, "signum_mv", [20], theory=False, tail=1.0, data=data, lr=0.1, beta=0.5)
