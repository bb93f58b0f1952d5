"""Whole runs of the vote on images against a naive reference: each row, each number, each count."""

from __future__ import annotations

import dataclasses
import json

import pytest
from conftest import QUIET, result_of
from reference import vote_images as naive
from reference.agree import all_compared, same_rows
from reference.classification import Protocol
from reference.tiny_images import tiny

from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.vote_images.note import NOTE
from bench.tasks.vote_images.split import split

REL = 1e-9
SINGLE = 3e-6  # numbers beside signs go over the wire in single precision
KEYS = ("epochs", "batch_size", "crop_padding", "flip", "evaluate_every", "gradient_subset")


@pytest.fixture
def compared(job, tmp_path):
    """compared("ssvr_mv", how, workers, law, kind, theory, rel, lr=..., ...): the names that agree between program and reference."""

    def run(name, how, workers=4, law="iid", kind="plain", theory=False, rel=REL, **keys) -> set[str]:
        task = {"workers": workers, "split": law, "alpha": 0.5, "theory": theory}
        task |= {key: getattr(how, key) for key in KEYS}
        lines = [f"method={name}", "dataset=digits", *(f"task.{k}={json.dumps(v)}" for k, v in task.items())]
        lines += [f"method.{key}={json.dumps(value)}" for key, value in keys.items()]
        made = job(*[line.replace('"', "") for line in lines], *QUIET, "verbose=false", f"results_root={tmp_path}")
        model = {"_target_": f"reference.tiny_images.{'Plain' if kind == 'plain' else 'Noisy'}"}
        more = {} if kind == "plain" else {"dropout": 0.3 if kind == "noisy" else 0.0}
        parts = made.parts | {"model": model | more, "dataset": {"_target_": "reference.tiny_images.tiny"}}
        outcome = execute(dataclasses.replace(made, parts=parts))
        assert not outcome.failures
        folder, data = outcome.job.folder / "seed0", tiny("", 0)
        shards = split(data.train_y, workers, law, 0, alpha=0.5, smallest=how.batch_size)
        rows = naive.Run(name, keys, data, shards, kind, 0, how, theory).all()
        names = same_rows(read_metrics(folder), rows, rel)
        last = {k: v for k, v in rows[-1].items() if k != "step"}
        same_rows([result_of(folder)["metrics"]], [last], rel)
        measured = result_of(folder)["measured"]
        assert measured["examples_per_second"] * measured["wall_seconds"] == pytest.approx(
            rows[-1]["step"] * workers * how.batch_size
        )
        return names

    return run


HOW = Protocol(epochs=2, batch_size=4, gradient_subset=30)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ssvr_mv", {"beta": 0.5, "radius": None}),
        ("ssvr_mv_stochastic", {"beta": 0.4, "radius": 0.5, "projection": "ball"}),
        ("dvr_q", {"beta": 0.5}),
        ("signum_mv", {"beta": 0.3, "ties": "random"}),
        ("ssdm", {"beta": 0.5}),
        ("mv_sto_signsgd_sim", {"beta": 0.5, "radius": None, "quantile": 0.9, "ties": "plus"}),
    ],
)
def test_of_each_kind_of_message(compared, name, keys):
    names = compared(name, HOW, rel=SINGLE if name == "dvr_q" else REL, lr=0.01, **keys)
    all_compared(names, NOTE, "skipped_steps")


@pytest.mark.parametrize("kind", ["noisy", "normed"])
def test_of_networks_whose_workers_have_dropout_and_running_statistics(compared, kind):
    compared("ssvr_mv", HOW, workers=2, kind=kind, lr=0.01, beta=0.5, radius=2.0)


def test_of_unequal_shards_under_the_theory_s_steps(compared):
    """Dirichlet shares; what is measured are equally many images of each worker."""
    compared("ssvr_mv", HOW, workers=3, law="dirichlet", theory=True, lr=3.0, beta=0.5, radius=None)
    compared("signum_mv", HOW, workers=3, law="shards", theory=True, lr=3.0, beta=2.0)
