"""conf/paper: what is wrong is said in one line with file and field; no number without a source, no check that cannot decide."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.errors import UserError
from bench.judge.papers import check_decidable, load_paper, load_papers
from bench.judge.plan import jobs

GOOD = {
    "title": "A title",
    "authors": "A. Author",
    "year": 2024,
    "venue": "Venue",
    "arxiv": "0000.00000",
    "code": {"url": None},
    "summary": "A summary.",
    "claims": {
        "better": {
            "says": "a is better than b",
            "source": {"tier": "paper", "where": "Table 1", "how": "read", "reference": "arXiv 0000.00000"},
            "experiment": "ssvr/rate_stochastic",
            "check": {
                "kind": "better",
                "metric": "mean_grad_l1",
                "of": {"method": "ssvr"},
                "than": {"method": "signsgd"},
            },
        }
    },
}
CLAIM = ("claims", "better")
DELETE = object()


def written(tmp_path: Path, place: tuple, value: object) -> Path:
    content = yaml.safe_load(yaml.safe_dump(GOOD))
    node = content
    for key in place[:-1]:
        node = node[key]
    if value is DELETE:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_good_file_loads(tmp_path):
    paper = load_paper(written(tmp_path, ("year",), 2025))
    assert [name for name, _, audit in paper.judged() if not audit] == ["better"]


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        (("titel",), "x", "unknown key 'titel'; allowed: "),
        (("claims", "better", "source", "reference"), DELETE, "claims.better.source.reference: field required"),
        (("claims", "better", "source"), DELETE, "claims.better.source: field required"),
        (("claims", "better", "source", "how"), "hearsay", "claims.better.source.how: input should be 'read'"),
        (("claims", "better", "source", "how"), "recalled", "claims.better: source.how = 'recalled': may be shown"),
        (("claims", "better", "experiment"), "ssvr/rate_stochastik", "did you mean 'ssvr/rate_stochastic'?"),
        (
            ("claims", "better", "check", "metric"),
            "test_accuracy",
            "claims.better: check.metric 'test_accuracy' is not computed",
        ),
        (("claims", "better", "check", "budget"), "hours", "check.budget 'hours' is not computed"),
        (("claims", "better", "check", "metric"), "iterations", "neither better high nor low"),
        (("claims", "better", "check", "kind"), "nicer", "claims.better.check: kind 'nicer' is none of value"),
        (("claims", "better", "check", "thn"), {}, "claims.better.check: unknown key 'thn'"),
        (("claims", "better", "check", "factor"), -1.0, "claims.better.check.factor: input should be greater"),
        (
            ("figures",),
            {"f": {"experiment": "ssvr/digits", "caption": "c", "x": "epoch", "y": "loss"}},
            "figures.f: metric 'loss' is not",
        ),
        (("claims", "better", "scales"), ["huge"], "claims.better.scales.0: input should be 'smoke'"),
    ],
)
def test_errors_name_file_and_field(tmp_path, place, value, line):
    with pytest.raises(UserError) as error:
        load_paper(written(tmp_path, place, value))
    assert str(error.value).startswith("conf/paper/mine.yaml: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("check", "line"),
    [
        ({"kind": "bound", "of": {}}, "exactly one of at_most and at_least"),
        ({"kind": "bound", "of": {}, "at_most": 1.0, "at_least": 0.0}, "exactly one of at_most and at_least"),
        ({"kind": "slope", "of": {}, "over": "iterations", "within": [1.0, 0.0]}, "two increasing numbers"),
        ({"kind": "value", "of": {}, "target": 1.0, "margin": 0.0}, "greater than 0"),
        ({"kind": "value", "of": {}, "margin": 0.1}, "exactly one of target and targets"),
        ({"kind": "value", "of": {}, "target": 1.0}, "exactly one of margin and relative"),
        ({"kind": "ordering", "tiers": [[{"method": "ssvr"}]]}, "at least 2"),
        ({"kind": "better", "of": {}, "than": {}, "by": 0.1, "factor": 0.5}, "by or factor, not both"),
    ],
)
def test_checks_that_say_nothing_are_refused(tmp_path, check, line):
    with pytest.raises(UserError, match=line):
        load_paper(written(tmp_path, (*CLAIM, "check"), {"metric": "mean_grad_l1", **check}))


@pytest.mark.parametrize(
    ("check", "line"),
    [
        ({"kind": "better", "of": {"method": "ssvr"}, "than": {"method": "adamw"}}, "no run has method = adamw"),
        ({"kind": "better", "of": {"method.lr": 77.0}, "than": {"method": "ssvr"}}, "no run has method.lr = 77.0"),
        (
            {
                "kind": "ordering",
                "tiers": [[{"method": "ssvr"}], [{"method": "signsgd"}], [{"method": "signsgd_sim"}]],
                "tune": "method.lr",
            },
            "6 seeds (6 more choose method.lr) cannot decide 3 parts",
        ),
    ],
)
def test_checks_that_cannot_decide_are_refused(tmp_path, check, line):
    paper = load_paper(written(tmp_path, (*CLAIM, "check"), {"metric": "mean_grad_l1", **check}))
    with pytest.raises(UserError) as error:
        check_decidable({"mine": paper}, jobs)
    assert str(error.value).startswith("conf/paper/mine.yaml: claims.better.check: ")
    assert line in str(error.value)
    assert "(ssvr/rate_stochastic at mini scale)" in str(error.value)


def test_broken_yaml_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: [")
    with pytest.raises(UserError, match=r"^conf/paper/mine.yaml:2: [^\n]*$"):
        load_paper(path)


def test_every_paper_of_the_suite_is_valid_and_decidable():
    papers = load_papers()
    check_decidable(papers, jobs)
    assert "ssvr" in papers


def test_an_unknown_paper_names_the_known_ones():
    with pytest.raises(UserError, match=r"paper = 'ssrv': unknown; allowed: .*did you mean 'ssvr'"):
        load_papers("ssrv")
