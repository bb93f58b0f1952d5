"""Every planted mistake turns a claim to "not reproduced", and a change that is none does not."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from bench.judge import selftest as module
from bench.judge.papers import load_papers
from bench.judge.selftest import Mistake, mistakes, selftest

HARDWARE = ["hardware=cpu", "hardware.threads=1"]
QUICK = {  # a paper's mistakes in seconds
    "ssvr": ["task.horizons=[1000,4000]", "seeds=[0,1,2,3,4]"],
    "doublysgd": ["task.draws=6000", "seeds=[0,1,2,3,4]"],
    "ngvi": ["seeds=[0,1,2,3,4,5,6,7]"],
    "featlearn": ["task.steps=6000", "task.width=28", "seeds=[0,1,2,3,4]"],
}
EXPERIMENTS = {  # likewise of one experiment
    "singleindex/scaling": ["dataset.d=[32,64,128]", "task.samples=[8]", "task.replicates=2"],
    "singleindex/recovery": ["dataset.d=[32,64]", "seeds=[0,1,2,3,4]"],
    "singleindex/multi_index": ["seeds=[0,1,2,3,4,5,6,7,8,9]"],
    "ngvi/conjugate_batch": [f"seeds={list(range(16))}".replace(" ", "")],
    "egab/markets": ["method=best,ucrp,bcrp,eg,pamr,olmar1,olmar2"],
}
HARMLESS = Mistake("harmless", "nothing", "ssvr/rate_stochastic", {"method": "ssvr"}, nullcontext)


def test_the_registry_holds_the_classic_mistakes():
    assert {m.name for m in mistakes("ssvr")} >= {
        "stored-gradient",
        "no-variance-reduction",
        "other-batch",
        "beta-reversed",
    }
    assert {m.name for m in mistakes("egab")} >= {"first-day", "clip-and-divide", "early-step", "look-ahead", "swapped"}
    assert {m.name for m in mistakes("ngvi")} >= {"scaled-prior", "old-covariance", "root-schedule", "central-moment"}
    assert {m.name for m in mistakes("featlearn")} >= {
        "signed-directions",
        "early-decay",
        "radial-step",
        "whole-penalty",
    }
    for name in load_papers():
        assert mistakes(name), f"mistakes/{name}.py is missing"
    assert mistakes("nobody") == []


@pytest.mark.parametrize("name", list(load_papers()))
def test_every_mistake_is_noticed(name, tmp_path):
    found = list(selftest(name, load_papers()[name], tmp_path, [*QUICK.get(name, []), *HARDWARE], EXPERIMENTS))
    assert [f.mistake.name for f in found] == [m.name for m in mistakes(name)]
    assert [f.mistake.name for f in found if not f.noticed] == []


def test_what_is_no_mistake_is_not_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "mistakes", lambda paper: [HARMLESS])
    (found,) = selftest("ssvr", load_papers()["ssvr"], tmp_path, [*QUICK["ssvr"], *HARDWARE])
    assert "rate-ssvr" in found.reproduced
    assert found.noticed == []
