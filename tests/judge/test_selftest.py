"""Every planted mistake turns a claim to "not reproduced", and a change that is none does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from bench.judge import selftest as module
from bench.judge.papers import Paper, load_papers
from bench.judge.selftest import Mistake, mistakes, selftest

HARDWARE = ["hardware=cpu", "hardware.threads=1"]
QUICK = {  # a paper's mistakes in seconds
    "doublysgd": ["task.draws=6000", "seeds=[0,1,2,3,4]"],
    "ngvi": ["seeds=[0,1,2,3,4,5,6,7]"],
    "featlearn": ["task.steps=6000", "task.width=28", "seeds=[0,1,2,3,4]"],
}
EXPERIMENTS = {  # likewise of one experiment
    "ssvr/rate_stochastic": ["task.horizons=[500,8000]", "seeds=[0,1,2,3,4,5,6,7]"],
    "ssvr/rate_finite_sum": ["task.horizons=[2048,8192]", "seeds=[0,1,2,3,4,5,6,7]"],
    "singleindex/scaling": ["dataset.d=[32,64,128]", "task.samples=[8]", "task.replicates=2"],
    "singleindex/recovery": ["dataset.d=[32,64]", "seeds=[0,1,2,3,4]"],
    "singleindex/multi_index": ["seeds=[0,1,2,3,4,5,6,7,8,9]"],
}
SLOW = {"ssvr/cifar10", "ssvr/cifar10_beta", "ssvr/cifar10_batch", "ssvr/equal_calls"}  # for scripts/selftest.py alone
HARMLESS = Mistake("harmless", "nothing", "ssvr/rate_stochastic", {"method": "ssvr"}, nullcontext)


def test_the_registry_holds_the_classic_mistakes():
    assert {m.name for m in mistakes("ssvr")} >= {
        "stored-gradient",
        "no-variance-reduction",
        "other-batch",
        "beta-reversed",
        "momentum-off",
        "large-step",
        "no-snapshot-term",
        "spider-no-restart",
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


def judged_on(paper: Paper, keep: Callable[[str], bool]) -> Paper:
    """The paper with the claims on these experiments alone."""
    return paper.model_copy(update={"claims": {k: c for k, c in paper.claims.items() if keep(c.experiment)}})


@pytest.mark.parametrize("name", list(load_papers()))
def test_every_mistake_is_noticed_and_every_claim_is_turned(name, tmp_path, monkeypatch):
    paper = judged_on(load_papers()[name], lambda experiment: experiment not in SLOW)
    planted = [m for m in mistakes(name) if m.experiment not in SLOW]
    monkeypatch.setattr(module, "mistakes", lambda paper: planted)
    found = list(selftest(name, paper, tmp_path, [*QUICK.get(name, []), *HARDWARE], EXPERIMENTS))
    assert [f.name for f in found[: len(planted)]] == [m.name for m in planted]
    assert [f.name for f in found if not f.noticed] == []
    turned = {claim for f in found for claim in f.noticed}
    assert {key for key, claim in paper.claims.items() if claim.refuted_by} <= turned


def test_what_is_no_mistake_is_not_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "mistakes", lambda paper: [HARMLESS])
    paper = judged_on(load_papers()["ssvr"], lambda experiment: experiment == HARMLESS.experiment)
    found, *_ = selftest("ssvr", paper, tmp_path, HARDWARE, EXPERIMENTS)
    assert "rate-ssvr" in found.reproduced
    assert found.noticed == []
