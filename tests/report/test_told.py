"""What experiments' tables are told apart by, whom they call best, and what they say once."""

from __future__ import annotations

import pandas as pd
from made import run, runs

from bench.report import tables, told
from bench.report.marks import Marks, html, marks_of, shared_out, with_marks

DIGITS = "dplora/digits"  # sweeps per_method.budget, which no job has


def of(method: str, epsilon: float | None, values: list[float]) -> list:
    parts = {} if epsilon is None else {"method.epsilon": epsilon, "method.rank": 4}
    return [run(method, k, {"frechet": v}, task="generation", config=parts) for k, v in enumerate(values)]


def test_a_value_that_is_only_put_into_others_is_shown_where_it_went():
    budgets = [of(m, e, [1.0, 2.0]) for m in ("dplora", "dp_full") for e in (1.0, 5.0)]
    jobs = [*budgets, of("public_only", None, [3.0, 4.0])]
    for k, job in enumerate(jobs):
        jobs[k] = [r.__class__(**(vars(r) | {"key": f"k{k}"})) for r in job]
    assert told.keys_of(DIGITS, jobs) == ["method", "method.epsilon"]
    shown = tables.readable(DIGITS, [r for job in jobs for r in job])
    assert shown["epsilon"].tolist() == ["1", "5", "1", "5", "–"]
    assert "budget" not in shown.columns
    assert told.keys_of("ssvr/cifar10", jobs[:1]) == ["method"]


def test_the_best_are_those_that_the_paired_test_does_not_tell_from_it():
    low, high = [float(k) for k in range(8)], [k + 1.0 for k in range(8)]
    near = [k + (0.1 if k % 2 else -0.1) for k in range(8)]
    jobs = [runs("a", low), runs("b", high), runs("c", near)]
    assert told.best("ssvr/cifar10", jobs, "mean_grad_l1", "lower") == [True, False, True]
    assert told.best("ssvr/cifar10", jobs, "mean_grad_l1", "higher") == [False, True, False]
    assert told.best("ssvr/cifar10", jobs, "mean_grad_l1", None) == [False] * 3
    few = [runs("a", low[:3]), runs("b", high[:3])]
    assert told.best("ssvr/cifar10", few, "mean_grad_l1", "lower") == [False, False], "three seeds decide nothing"


def test_what_all_rows_share_is_said_once():
    frame = pd.DataFrame({"method": ["a", "b"], "x": ["1", "2"], "seeds": ["9", "9"], "state": ["", ""]})
    found = shared_out(frame, ["seeds", "state"], Marks(1, frozenset({(1, 1)})))
    assert list(found.columns) == ["method", "x", "state"]
    assert marks_of(found) == Marks(1, frozenset({(1, 1)}), ("9 seeds.",))
    text = tables.markdown(found)
    assert "**2**" in text
    assert "9 seeds. Bold: best" in text


def test_html_has_a_caption_row_headings_and_no_markup_of_others():
    frame = pd.DataFrame({"method": ["<b>a</b>"], "x": ["0.31 [0.29, 0.34]"], "text": ["a & b"]})
    found = html(with_marks(frame, Marks(1, frozenset({(0, 1)}))), "A <caption>")
    assert "<caption>A &lt;caption&gt;. Bold" in found
    assert '<th scope="row">&lt;b&gt;a&lt;/b&gt;</th>' in found
    assert '<td class="aligned"><b>0.31</b><br><small>[0.29, 0.34]</small></td>' in found
    assert "<td>a &amp; b</td>" in found
