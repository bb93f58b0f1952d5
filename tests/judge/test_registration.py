"""A check is confirmed on the seeds that follow from its registration, and on no others: what a user who cheats meets."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import ROOT
from made import claim, runs

from bench.errors import UserError
from bench.judge import registration
from bench.judge.claims import judge_all
from bench.judge.registration import (
    check_whole,
    digest_of,
    head,
    register,
    registrations,
    side_of,
    standing,
    withdrawn,
)
from bench.run.registry import REGISTRY, in_force, judged_seeds, line_of, seeds_of

NAME = "ssvr/rate_finite_sum"
BETTER = {"kind": "better", "of": {"method": "a"}, "than": {"method": "b"}, "factor": 0.7}
KEYS = ["a" * 64, "b" * 64]


class Paper:
    """Claims as a paper has them."""

    def __init__(self, **claims):
        self.claims = claims

    def judged(self):
        return [(name, found, False) for name, found in self.claims.items()]


def jobs_of(keys=KEYS, count=8):
    def jobs(experiment, scale):
        return [SimpleNamespace(key=key, settings=SimpleNamespace(seeds=list(range(count)))) for key in keys]

    return jobs


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.jsonl"


@pytest.fixture
def registered(path):
    paper = Paper(gap=claim(**BETTER))
    assert register({"ssvr": paper}, jobs_of(), [NAME], path) == [
        f"{NAME} at mini and paper scale: 1 check, 8 seeds, attempt 1"
    ]
    return paper


def found(seeds, low=1.0, high=2.0):
    """Runs of both methods on these seeds."""
    made = []
    for method, value, key in (("a", low, KEYS[0]), ("b", high, KEYS[1])):
        for seed, r in zip(seeds, runs(method, [value + k / 100 for k in range(len(seeds))])):
            made.append(replace(r, seed=seed, key=key, experiments=(f"{NAME}@mini",)))
    return made


def judged(paper, records, path):
    (one,) = judge_all({"ssvr": paper}, records, ["mini"], registrations(path))
    return one


def test_seeds_follow_from_the_line_and_are_registered_runs(registered, path):
    (entry,) = registrations(path)
    assert entry.judged == seeds_of(entry.digest, 8)
    assert len(set(entry.judged)) == 8
    assert seeds_of(entry.digest, 12)[:8] == entry.judged
    assert seeds_of(entry.digest[::-1], 8) != entry.judged
    one = judged(registered, found(entry.judged), path)
    assert (one.verdict.verdict, one.standing.word, one.standing.attempt) == ("reproduced", "registered", 1)


def test_registering_twice_changes_nothing(registered, path):
    before = path.read_bytes()
    assert register({"ssvr": registered}, jobs_of(), [NAME], path) == []
    assert path.read_bytes() == before


def test_other_seeds_are_exploratory_or_nothing(registered, path):
    """Chosen seeds are not the registered ones: there is no confirmed verdict on them."""
    one = judged(registered, found(list(range(8))), path)
    assert one.verdict.verdict == "not run"
    assert "16 of 16 registered runs are not there" in one.verdict.reason


def test_added_seeds_are_left_out(registered, path):
    """Eight registered seeds against the claim, twenty added ones for it."""
    (entry,) = registrations(path)
    records = found(entry.judged, 2.0, 1.0) + found(list(range(20)))
    one = judged(registered, records, path)
    assert (one.verdict.verdict, one.verdict.seeds) == ("not reproduced", 8)


def test_dropped_seeds_are_missed(registered, path):
    (entry,) = registrations(path)
    one = judged(registered, found(entry.judged[:6]), path)
    assert (one.verdict.verdict, one.verdict.reason) == ("not run", "4 of 16 registered runs are not there")


def test_renaming_a_claim_changes_nothing(registered, path):
    (entry,) = registrations(path)
    renamed = Paper(better_name=claim(**BETTER))
    assert register({"ssvr": renamed}, jobs_of(), [NAME], path) == [], "no new attempt"
    assert judged(renamed, found(entry.judged), path).standing.registered
    assert withdrawn("ssvr", renamed, registrations(path)) == []


def test_an_edited_margin_is_exploratory_until_it_is_registered_and_then_needs_other_seeds(registered, path):
    (first,) = registrations(path)
    looser = Paper(gap=claim(**BETTER | {"factor": 0.9}))
    one = judged(looser, found(first.judged), path)
    assert (one.standing.word, one.standing.why) == ("exploratory", "its check is not the registered one")
    register({"ssvr": looser}, jobs_of(), [NAME], path)
    second = registrations(path)[-1]
    assert second.attempt == 2
    assert not set(second.judged) & set(first.judged)
    assert judged(looser, found(first.judged), path).verdict.verdict == "not run"
    again = judged(looser, found(second.judged), path)
    assert (again.standing.attempt, again.verdict.parts[0].interval.level) == (2, pytest.approx(1 - 2 * 0.05 / 6))
    assert [text for _, text in withdrawn("ssvr", looser, registrations(path))] == [
        json.dumps(
            claim(**BETTER).check.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":")
        )
    ]


@pytest.mark.parametrize("change", [{"keys": ["c" * 64, KEYS[1]]}, {"count": 12}])
def test_other_jobs_and_another_number_of_seeds_are_another_attempt(registered, path, change):
    register({"ssvr": registered}, jobs_of(**change), [NAME], path)
    entries = registrations(path)
    assert [e.attempt for e in entries] == [1, 2]
    assert not set(entries[0].judged) & set(entries[1].judged)


def test_an_experiment_under_another_name_is_the_same_attempt(registered, path):
    renamed = Paper(gap=claim(**BETTER).model_copy(update={"experiment": "ssvr/rate_stochastic"}))
    register({"ssvr": renamed}, jobs_of(), ["ssvr/rate_stochastic"], path)
    assert registrations(path)[-1].attempt == 2


def test_a_metric_that_is_turned_round_after_its_runs_is_exploratory(registered, path, monkeypatch):
    """The check says that a is better; a task's note says which way that is."""
    (entry,) = registrations(path)
    assert [check["better"] for check in entry.checks.values()] == ["lower"]
    metrics = registration.metrics_of(NAME)
    turned = {**metrics, "mean_grad_l1": replace(metrics["mean_grad_l1"], better="higher")}
    monkeypatch.setattr(registration, "metrics_of", lambda experiment: turned)
    one = judged(registered, found(entry.judged, 2.0, 1.0), path)
    assert (one.standing.word, one.standing.why) == (
        "exploratory",
        "mean_grad_l1 is not better in the registered direction",
    )
    register({"ssvr": registered}, jobs_of(), [NAME], path)
    assert registrations(path)[-1].attempt == 2


def test_a_line_without_directions_is_read_as_it_was_written(registered, path):
    content = json.loads(path.read_text())
    for check in content["checks"].values():
        del check["better"]
    path.write_text(line_of(content) + "\n")
    (entry,) = registrations(path)
    assert judged(registered, found(entry.judged), path).standing.registered
    assert register({"ssvr": registered}, jobs_of(), [NAME], path) == []


@pytest.mark.parametrize(
    ("keys", "attempt"),
    [
        ([KEYS[0], "c" * 64], 2),  # half of its jobs
        ([KEYS[0], "c" * 64, "d" * 64], 2),  # one of them, with the same check
        (["c" * 64, "d" * 64], 1),
    ],
)
def test_another_name_and_one_job_changed_is_the_same_attempt(registered, path, keys, attempt):
    renamed = Paper(gap=claim(**BETTER).model_copy(update={"experiment": "ssvr/rate_stochastic"}))
    register({"ssvr": renamed}, jobs_of(keys), ["ssvr/rate_stochastic"], path)
    assert registrations(path)[-1].attempt == attempt


def test_experiments_that_share_a_baseline_are_two(registered, path):
    other = claim(**BETTER | {"factor": 0.5}).model_copy(update={"experiment": "ssvr/rate_stochastic"})
    register({"ssvr": Paper(gap=other)}, jobs_of([KEYS[0], "c" * 64, "d" * 64]), ["ssvr/rate_stochastic"], path)
    assert registrations(path)[-1].attempt == 1


def test_what_an_attempt_has_too_few_seeds_for_is_not_registered(path):
    """Six seeds decide at the first attempt; 2^-6 is above the level of the second."""
    register({"ssvr": Paper(gap=claim(**BETTER))}, jobs_of(count=6), [NAME], path)
    before = path.read_bytes()
    other = claim(**BETTER).model_copy(update={"experiment": "ssvr/rate_stochastic"})
    paper = Paper(gap=claim(**BETTER | {"factor": 0.9}), other=other)
    with pytest.raises(UserError, match=r"at attempt 2: 6 seeds cannot decide 1 part at the 1.67 % level; at least 7"):
        register({"ssvr": paper}, jobs_of(count=6), ["ssvr/rate_stochastic", NAME], path)
    assert path.read_bytes() == before, "nor is what it has enough for, before it"


def test_a_scale_that_a_claim_leaves_out_is_withdrawn(registered, path):
    """It failed at paper scale; saying it at mini scale alone does not make that go away."""
    narrowed = Paper(gap=claim(**BETTER).model_copy(update={"scales": ("mini",)}))
    (gone,) = withdrawn("ssvr", narrowed, registrations(path))
    assert gone[0] == f"{NAME} at paper scale"


def test_runs_of_other_jobs_are_exploratory(registered, path):
    (entry,) = registrations(path)
    records = [replace(r, key="d" * 64) if r.method == "a" else r for r in found(entry.judged)]
    assert judged(registered, records, path).standing.why == "the experiment is not the registered one"


def test_a_registry_without_its_last_line_is_refused(registered, path):
    """What was judged says with which line; a cheater who takes it away to begin anew is told which one is missing."""
    register({"ssvr": registered}, jobs_of(count=12), [NAME], path)
    entries = registrations(path)
    heads = {"results/manifests/ssvr.json": head(entries)}
    check_whole(heads, entries)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        UserError, match=f"lacks line {heads['results/manifests/ssvr.json'][:12]}.*restore the file from git"
    ):
        check_whole(heads, registrations(path))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: [lines[0].replace('"seeds":8', '"seeds":9'), lines[1]], "line 2: does not follow"),
        (lambda lines: [lines[0], lines[1].replace("0.7", "0.9")], "line 2: check .* is not what stands under it"),
        (lambda lines: [lines[0], lines[1].replace(":", ": ")], "line 2: is not written as registrations are"),
        (
            lambda lines: [lines[0], lines[1].replace('"attempt":2', '"attempt":1')],
            "says attempt 1, and it is attempt 2",
        ),
        (lambda lines: [*lines, lines[1]], "line 3: does not follow"),
        (lambda lines: [lines[0], lines[1].replace('"attempt":2', '"attempt":"2"')], "line 2: is no registration"),
        (lambda lines: lines[1:], "line 1: does not follow"),
        (lambda lines: lines[::-1], "line 1: does not follow"),
        (lambda lines: [lines[0], "{}"], "line 2: is no registration"),
        (lambda lines: [lines[0], "x"], "line 2: is no line of JSON"),
    ],
)
def test_lines_are_added_and_never_changed(registered, path, edit, said):
    register({"ssvr": registered}, jobs_of(count=12), [NAME], path)
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=said):
        registrations(path)


def test_all_attempts_together_have_one_level():
    assert side_of(1) == 0.025, "a 95 % interval"
    assert sum(side_of(k) for k in range(1, 100_000)) == pytest.approx(0.05, abs=1e-6)


def test_topping_up_until_it_passes_keeps_the_level():
    """A claim that is false, registered anew up to five times: each time other seeds, at a lower level."""
    import numpy as np

    from bench.judge.claims import judge

    rng, passed = np.random.default_rng(0), 0
    check = claim(kind="bound", of={"method": "a"}, at_most=1.0 - 1e-9)
    for _ in range(400):
        for attempt in range(1, 6):
            records = runs("a", list(map(float, rng.lognormal(0.0, 1.0, 8 + attempt))))
            stands = standing(check, "mini", records, ())
            if judge(check, records, "mini", replace(stands, attempt=attempt)).verdict == "reproduced":
                passed += 1
                break
    assert passed / 400 <= 0.05 + (0.05 * 0.95 / 400) ** 0.5


def test_more_runs_are_planned_at_the_level_of_the_next_attempt(registered, path):
    """A registered claim gets more runs as another attempt, with other seeds, at a stricter level: fewer would be a promise not kept."""
    (entry,) = registrations(path)
    records = [
        replace(r, metrics=r.metrics | {"mean_grad_l1": 3.0}) if r.method == "a" and k % 4 == 0 else r
        for k, r in enumerate(found(entry.judged))
    ]
    one, loose = judged(registered, records, path).verdict, judged(registered, records, path.with_name("none")).verdict
    assert one.verdict == loose.verdict == "inconclusive"
    assert one.planner.needed > loose.planner.needed
    assert f"{one.planner.needed} runs of another attempt would show it" in one.reason
    assert f"{loose.planner.needed} runs would show it" in loose.reason


def test_a_user_s_own_claim_works_without_ceremony(path):
    one = judged(Paper(mine=claim(**BETTER)), found(list(range(8))), path)
    assert (one.verdict.verdict, one.standing.word, one.standing.why) == ("reproduced", "exploratory", "not registered")


def test_the_project_s_own_registry_only_ever_grew():
    """Every committed version begins with the one before."""
    git = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)  # noqa: E731
    name = "conf/registry.jsonl"
    commits = git("log", "--format=%H", "--reverse", "--", name).stdout.split()
    versions = [git("show", f"{commit}:{name}").stdout for commit in commits] + [
        REGISTRY.read_text() if REGISTRY.exists() else ""
    ]
    for before, after in itertools.pairwise(versions):
        assert after.startswith(before), "a line of conf/registry.jsonl was changed or taken away"


def test_seeds_of_an_experiment_that_is_not_registered_are_the_pilots():
    assert judged_seeds("ssvr/nothing", "mini", 5) == [0, 1, 2, 3, 4]
    assert judged_seeds(None, "mini", 2) == [0, 1]


def test_the_digest_is_of_the_check_and_of_no_word():
    named = claim(**BETTER).model_copy(update={"says": "otherwise", "note": "a word"})
    assert digest_of(named) == digest_of(claim(**BETTER))
    assert digest_of(claim(**BETTER, each={"dataset": ["x"]})) != digest_of(claim(**BETTER))
    assert digest_of(claim(**BETTER, deterministic=True)) != digest_of(claim(**BETTER))


def test_the_last_line_is_in_force(registered, path):
    register({"ssvr": registered}, jobs_of(count=12), [NAME], path)
    assert in_force(NAME, "paper", registrations(path)).seeds == 12
    assert in_force(NAME, "smoke", registrations(path)) is None
