"""False verdicts of every kind of check, at every n and for every law that results have: at most 5 % on either side.

The truth lies on the border of what the check accepts, once just outside and once just inside: the hardest case of each error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from made import claim, run, runs

from bench.judge.archive import Record
from bench.judge.deciding import decide
from bench.judge.statistics import SIDE, fewest

N = (5, 8, 16, 40)
REPEATED = 120
LIMIT = 0.05 + math.sqrt(0.05 * 0.95 / REPEATED)  # one simulation error
LAWS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {  # draws, and their median
    "normal": (lambda g, n: g.normal(3.0, 1.0, n), 3.0),
    "t3": (lambda g, n: 9.0 + g.standard_t(3, n), 9.0),
    "lognormal": (lambda g, n: g.lognormal(0.0, 1.0, n), 1.0),
    "rare failures": (lambda g, n: 1.0 + (g.random(n) < 0.1), 1.0),
    "binomial": (lambda g, n: 1.0 + g.binomial(10, 0.3, n), 4.0),
}
A, B = {"method": "a"}, {"method": "b"}
STEP = 1e-9  # from the border


def one(values: np.ndarray) -> list[Record]:
    return runs("a", list(map(float, values)))


def two(a: np.ndarray, b: np.ndarray) -> list[Record]:
    return one(a) + runs("b", list(map(float, b)))


def cases(law: str, n: int) -> Iterator[tuple[str, dict, dict | None, Callable[[np.random.Generator], list[Record]]]]:
    """(name, a check that is false, one that is true, runs) with the truth at the border of both."""
    draw, median = LAWS[law]
    single = lambda g: one(draw(g, n))  # noqa: E731
    bound = {"kind": "bound", "of": A}
    yield "bound", bound | {"at_most": median - STEP}, bound | {"at_most": median + STEP}, single
    yield "bound, at least", bound | {"at_least": median + STEP}, bound | {"at_least": median - STEP}, single
    value = {"kind": "value", "of": A, "margin": 0.5}
    yield "value", value | {"target": median - 0.5 - STEP}, value | {"target": median - 0.5 + STEP}, single

    def shifted(g: np.random.Generator) -> list[Record]:  # the paired difference has the law
        b = g.normal(50.0, 5.0, n)
        return two(b + draw(g, n), b)

    better = {"kind": "better", "of": B, "than": A}
    yield "better", better | {"by": median + STEP}, better | {"by": median - STEP}, shifted
    other = {"kind": "value", "of": A, "target": B, "margin": median}
    yield "value, paired", other | {"margin": median - STEP}, other | {"margin": median + STEP}, shifted

    def scaled(g: np.random.Generator) -> list[Record]:  # the ratio has the law
        b = g.lognormal(0.0, 1.0, n)
        return two(b * np.abs(draw(g, n)), b)

    if law != "t3":
        factor = {"kind": "better", "of": A, "than": B}
        yield "factor", factor | {"factor": median * (1 - STEP)}, factor | {"factor": median * (1 + STEP)}, scaled

    def powers(g: np.random.Generator) -> list[Record]:
        rows = [[{"iterations": t, "mean_grad_l1": t**s} for t in (1.0, 10.0)] for s in draw(g, n)]
        return [run("a", seed, {"mean_grad_l1": 1.0}, curve=curve) for seed, curve in enumerate(rows)]

    slope = {"kind": "slope", "over": "iterations", "of": A}
    yield (
        "slope",
        slope | {"within": [median - 9, median - STEP]},
        slope | {"within": [median - 9, median + STEP]},
        powers,
    )

    def third(
        g: np.random.Generator,
    ) -> list[Record]:  # c is far below both; a minus b has the law about a tie, which is no order
        b = g.normal(50.0, 5.0, n)
        return two(b + draw(g, n) - median, b) + runs("c", list(map(float, b - 99)))

    order = {"kind": "ordering", "tiers": [[{"method": "c"}], [A], [B]]}
    yield "ordering", order, None, third
    share = {"kind": "share", "of": A, "above": 1.5 if law == "rare failures" else median}
    truth = {"rare failures": 0.1, "binomial": float(np.mean(draw(np.random.default_rng(9), 400_000) >= median))}.get(
        law, 0.5
    )
    yield "share", share | {"at_most": truth - 1e-3}, share | {"at_most": truth + 1e-3}, single
    yield "share, at least", share | {"at_least": truth + 1e-3}, share | {"at_least": truth - 1e-3}, single


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("law", LAWS)
def test_false_verdicts_are_rare(law, n):
    for name, false, true, draw in cases(law, n):
        rng = np.random.default_rng([n, *name.encode()])
        samples = [draw(rng) for _ in range(REPEATED)]
        assert share_of("reproduced", false, samples) <= LIMIT, name
        if true is not None:
            assert share_of("not reproduced", true, samples) <= LIMIT, name
        if n < fewest(SIDE) and "share" not in name:
            assert share_of("inconclusive", true or false, samples) == 1.0, f"{name}: too few runs decide nothing"


def share_of(verdict: str, check: dict, samples: list[list[Record]]) -> float:
    checks = claim(**check).checks()
    return float(np.mean([decide(checks, sample, "lower").verdict == verdict for sample in samples]))


@pytest.mark.parametrize("n", [16, 40])
@pytest.mark.parametrize("law", ["rare failures", "binomial"])
def test_means_of_bounded_quantities(law, n):
    """Nominal 5 %; a t test has up to 19 % here."""
    draw, _ = LAWS[law]
    top, mean = (2.0, 1.1) if law == "rare failures" else (11.0, 4.0)
    rng = np.random.default_rng(n)
    samples = [one(draw(rng, n)) for _ in range(REPEATED)]
    check = {"kind": "bound", "of": A, "estimand": "mean", "range": [1.0, top]}
    false = [decide(claim(**check, at_most=mean - 1e-6).checks(), s, "lower").verdict for s in samples]
    true = [decide(claim(**check, at_most=mean + 1e-6).checks(), s, "lower").verdict for s in samples]
    assert np.mean([v == "reproduced" for v in false]) <= LIMIT
    assert np.mean([v == "not reproduced" for v in true]) <= LIMIT
    loose = [decide(claim(**check, at_most=mean + 0.6 * (top - 1)).checks(), s, "lower").verdict for s in samples]
    assert np.mean([v == "reproduced" for v in loose]) > 0.8, "not so timid that it never decides"


@pytest.mark.parametrize("n", [8, 16, 40])
def test_an_identity_that_fails_in_a_twentieth_of_the_runs(n):
    """Passing says "in most runs", with the bound: which is true. One run that fails refutes."""
    rng = np.random.default_rng(n)
    check = claim(kind="identity", of=A, equals=0.0, tolerance=0.5).checks()
    found = [decide(check, one((rng.random(n) < 0.05).astype(float)), "lower") for _ in range(REPEATED)]
    passed = [v for v in found if v.verdict == "reproduced"]
    assert passed
    assert all(v.parts[0].interval.low <= 0.95 for v in passed), "the bound is not above the truth"
    strict = claim(kind="identity", of=A, equals=0.0, tolerance=0.5, share=0.96).checks()
    found = [decide(strict, one((rng.random(n) < 0.05).astype(float)), "lower").verdict for _ in range(REPEATED)]
    assert np.mean([v == "reproduced" for v in found]) <= LIMIT


@pytest.mark.parametrize("n", [8, 16])
def test_a_weaker_law_still_decides(n):
    """Power where the truth is clear: all of these decide."""
    rng = np.random.default_rng(n)
    check = claim(kind="better", of=A, than=B).checks()
    yes = [
        decide(check, two(rng.lognormal(0.0, 0.3, n), rng.lognormal(1.5, 0.3, n)), "lower").verdict for _ in range(100)
    ]
    no = [
        decide(check, two(rng.lognormal(1.5, 0.3, n), rng.lognormal(0.0, 0.3, n)), "lower").verdict for _ in range(100)
    ]
    assert np.mean([v == "reproduced" for v in yes]) > 0.9
    assert np.mean([v == "not reproduced" for v in no]) > 0.9
