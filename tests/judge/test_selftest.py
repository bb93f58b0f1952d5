"""Every planted mistake turns a claim to "not reproduced", and a change that is none does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from made import runs

from bench.errors import UserError
from bench.judge import selftest as module
from bench.judge.papers import Claim, Paper, Swap, load_papers
from bench.judge.selftest import Mistake, check_named, mistakes, selftest, swapped

HARDWARE = ["hardware=cpu", "hardware.threads=1"]
QUICK = {  # a paper's mistakes in seconds
    "doublysgd": ["task.draws=0", "seeds=[0,1,2,3,4,5,6,7,8]"],
    "ngvi": ["seeds=[0,1,2,3,4,5,6,7]"],
    "featlearn": ["seeds=[0,1,2,3,4,5,6]"],
}
EXPERIMENTS = {  # likewise of one experiment
    "ssvr/rate_stochastic": ["task.horizons=[250,4000]", "seeds=[0,1,2,3,4,5,6,7]"],
    "doublysgd/variance_formula": ["task.draws=6000"],
    "doublysgd/variance_separate": ["task.draws=800"],
    "singleindex/recovery": ["dataset.d=[32,64]", "seeds=[0,1,2,3,4]"],
    "featlearn/recovery": ["task.steps=8500", "task.width=24", "seeds=[0,1,2,3,4,5,6,7,8]"],
    "featlearn/dimension": ["task.steps=1500", "task.width=16", "method.lr=1", "method.lam=1e-2"],
    "featlearn/positive": ["task.steps=3500", "method.lr=1", "seeds=[0,1,2,3,4,5]"],
}
SLOW = {  # for scripts/selftest.py alone; what it saw is committed: tests/judge/test_seen_to_fail.py
    *(f"ssvr/{name}" for name in ("cifar10", "cifar10_beta", "cifar10_batch", "equal_calls", "rate_finite_sum")),
    *(f"ssvr/{name}" for name in ("cifar100_vote", "communication")),
    *(f"doublysgd/{name}" for name in ("gaussian_vi", "complexity", "variance_tradeoff", "split_descent")),
    *(f"doublysgd/{name}" for name in ("reshuffling_ratio", "logistic", "step_size", "references", "budget_tool")),
    *(f"ngvi/{name}" for name in ("embedded", "logistic_rate", "uci", "conjugate_rate", "conjugate_sgd", "curvature")),
    *(f"ngvi/{name}" for name in ("conjugate_floor", "conjugate_batch", "poisson_rate", "logistic_pd", "poisson_pd")),
    *(f"egab/{name}" for name in ("hindsight", "online", "first_third", "markets", "toolbox_costs", "identity_line")),
    *(f"featlearn/{name}" for name in ("loss_vs_lam", "width", "five_teachers", "sampled", "regularised_time")),
    *(f"singleindex/{name}" for name in ("exponents", "figure1", "inner_step", "phase_transition", "same_samples")),
    *(f"singleindex/{name}" for name in ("figure1b_layers", "repetition", "smoothing", "smoothing_tuned")),
    *(f"singleindex/{name}" for name in ("multipass", "projection", "scaling_tuned", "second_phase")),
    *(f"singleindex/{name}" for name in ("activations", "multi_index", "scaling")),
    *(
        f"r2sgld/{name}"
        for name in (
            "flower",
            "leakage",
            "diameter",
            "noisy_swaps",
            "normals",
            "spectrum",
            "swap_bias",
            "diameter_short",
        )
    ),
    *(
        f"multimix/{name}"
        for name in ("variance", "training", "training_compute", "cifar100", "cifar100_k", "cifar100_compute")
    ),
    *(
        f"r2sgld/{name}"
        for name in ("lorenz", "lorenz_released", "lorenz_mirror", "lorenz_audit", "cifar100", "image_swaps")
    ),
    *(
        f"sava/{name}"
        for name in ("gaussian", "batch_size", "outer", "converged", "cost", "lava_notebook", "squash", "label_cost")
    ),
    *(f"dplora/{name}" for name in ("digits", "copies", "canaries", "low_rank_shift", "step", "test_selection")),
    *(f"dplora/{name}" for name in ("budget", "budget_trained", "draws_variance", "draws_direction")),
    *(f"ssvr/{name}" for name in ("vote_synthetic", "vote_bias")),
    *(f"sava/{name}" for name in ("cifar10_detection", "cifar10_prune", "outer_pixels", "frogs_shift", "digits_prune")),
}
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
    kept = {
        part: {k: c for k, c in getattr(paper, part).items() if keep(c.experiment)} for part in ("claims", "audits")
    }
    return paper.model_copy(update=kept)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Results whose right runs two tests of a paper share."""
    return tmp_path_factory.mktemp("selftest")


def names_of(claim: Claim) -> set[str]:
    return {refuter if isinstance(refuter, str) else refuter.name for refuter in claim.refuted_by}


@pytest.mark.parametrize("name", list(load_papers()))
def test_every_mistake_is_noticed_and_every_claim_is_turned(name, root, monkeypatch):
    """A claim that the right implementation does not reproduce has been seen to fail."""
    paper = judged_on(load_papers()[name], lambda experiment: experiment not in SLOW)
    planted = [m for m in mistakes(name) if m.experiment not in SLOW]
    monkeypatch.setattr(module, "mistakes", lambda paper: planted)
    found = list(selftest(name, paper, root / "results" / name, [*QUICK.get(name, []), *HARDWARE], EXPERIMENTS))
    assert [f.name for f in found[: len(planted)]] == [m.name for m in planted]
    assert [f.name for f in found if not f.noticed and f.reproduced] == []
    reproduced = {key for f in found for key in f.reproduced}
    turned = {(f.name, key) for f in found for key in f.noticed}
    named = {key: names_of(claim) for key, claim, _ in paper.judged() if claim.refuted_by and key in reproduced}
    assert [key for key, names in named.items() if not any((by, key) in turned for by in names)] == []


def test_what_is_no_mistake_is_not_noticed(root, monkeypatch):
    monkeypatch.setattr(module, "mistakes", lambda paper: [HARMLESS])
    paper = judged_on(load_papers()["ssvr"], lambda experiment: experiment == HARMLESS.experiment)
    found, *_ = selftest("ssvr", paper, root / "results/ssvr", HARDWARE, EXPERIMENTS)
    assert "rate-ssvr" in found.reproduced
    assert found.noticed == []


def test_runs_of_another_length_may_stand_in_where_they_may_be_compared():
    """How long a run is may differ in a comparison at one budget; so may it in runs that are put in the place of others."""
    swap = Swap.model_validate({"put": {"method": "a"}, "in_place_of": {"method": "b"}})
    found = swapped(swap, runs("a", [1.0, 2.0]) + runs("b", [8.0, 9.0], config={"task.horizons": [100]}))
    assert [r.metrics["mean_grad_l1"] for r in found if r.method == "b"] == [1.0, 2.0]
    other = runs("a", [1.0, 2.0]) + runs("b", [8.0, 9.0], config={"task.theory": False})
    with pytest.raises(UserError, match="0 runs can stand for seed 0 of b"):
        swapped(swap, other)


def test_a_claim_that_names_a_mistake_that_is_not_there_is_one_line(monkeypatch):
    for name, paper in load_papers().items():
        check_named(name, paper)
    monkeypatch.setattr(module, "mistakes", lambda paper: [HARMLESS])
    with pytest.raises(
        UserError, match=r"claims\.rate-ssvr: refuted_by: no mistake stored-gradient in mistakes/ssvr\.py"
    ):
        check_named("ssvr", load_papers()["ssvr"])
