"""What a registration makes of a page: standing, attempt and level beside each verdict; withdrawn checks; verdicts follow the registry."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made import run

from bench.errors import UserError
from bench.judge.archive import Record, archive_path, text_of, write_archive
from bench.judge.claims import judge_all
from bench.judge.papers import Paper, load_papers
from bench.judge.registration import check_of, digest_of
from bench.report import coverage, publish
from bench.report.paper import build
from bench.run import registry
from bench.run.registry import Registration, digest_of_line, line_of, registrations

EXPERIMENT = "ssvr/rate_finite_sum"
KEYS = [run(method, 0, None).key for method in ("ssvr_fs", "signsvrg")]
SWAP = {"put": {"method": "signsvrg"}, "in_place_of": {"method": "ssvr_fs"}}


def claim(**more: Any) -> dict[str, Any]:
    check = {"kind": "better", "metric": "mean_grad_l1", "of": {"method": "ssvr_fs"}, "than": {"method": "signsvrg"}}
    source = {"tier": "paper", "where": "Figure 9", "how": "read", "reference": "arXiv"}
    content = {"says": "It is better.", "source": source, "experiment": EXPERIMENT, "refuted_by": ["wrong-sign", SWAP]}
    return content | {"check": check} | more


def paper(**claims: dict[str, Any]) -> Paper:
    content = load_papers("ssvr")["ssvr"].model_dump()
    content |= {"claims": claims, "figures": {}, "tables": {}, "audits": {}, "unread": "the appendix"}
    return Paper.model_validate(content)


ONE = paper(better=claim())


@pytest.fixture
def registered(tmp_path, monkeypatch) -> Callable[..., list[Registration]]:
    """Adds a line to a registry that stands in for the project's: registered(paper, attempt=1, experiment=...)."""
    path = tmp_path / "registry.jsonl"
    monkeypatch.setattr(registry, "REGISTRY", path)
    monkeypatch.setattr(
        publish, "ROOT", tmp_path / "project"
    )  # the project's own results were judged with its own registry

    def add(of: Paper, attempt: int = 1, experiment: str = EXPERIMENT) -> list[Registration]:
        before = registrations()
        line = line_of(
            {
                "experiment": experiment,
                "scales": ["mini", "paper"],
                "seeds": 8,
                "jobs": sorted(KEYS),
                "checks": {digest_of(c): check_of(c) for _, c, _ in of.judged()},
                "attempt": attempt,
                "previous": before[-1].digest if before else registry.START,
            }
        )
        path.write_text("".join(f"{text}\n" for text in [*_lines(path), line]))
        return list(registrations())

    return add


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def records(seeds: list[int]) -> list[Record]:
    found = [
        run(m, s, {"mean_grad_l1": y + s % 7 / 128}) for m, y in (("ssvr_fs", 1.0), ("signsvrg", 2.0)) for s in seeds
    ]
    return [replace(r, experiments=(f"{EXPERIMENT}@mini", f"{EXPERIMENT}@paper")) for r in found]


def rows(files: dict[str, str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["verdicts/ssvr.csv"])))


def page_of(files: dict[str, str]) -> str:
    """The text of the page, its tags left out and blanks joined."""
    page = re.sub(r"(?s)<(style|script)>.*?</\1>", "", files["papers/ssvr.html"])
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_a_registered_claim_shows_attempt_level_interval_region_and_refuters(registered):
    entries = registered(ONE)
    seen = {("better", "wrong-sign"): "not reproduced", ("better", "signsvrg in place of ssvr_fs"): "inconclusive"}
    files = build("ssvr", ONE, records(entries[0].judged), ("mini", "paper"), {}, entries, seen).files
    (row,) = rows(files)
    wanted = {"tier": "paper", "standing": "registered", "attempt": "1", "scale": "mini paper", "verdict": "reproduced"}
    wanted |= {"protocol": "full protocol", "level": "0.95", "accepts": "below 0", "estimand": "median", "seeds": "8"}
    wanted |= {"estimate": "-1", "refuted_by": "wrong-sign; signsvrg in place of ssvr_fs", "low": "-1", "high": "-1"}
    assert {name: row[name] for name in wanted} == wanted
    said = page_of(files)
    for text in (
        "registered, attempt 1, 95 %",
        "registered, attempt 1, 95 %; full protocol",
        "ours -1 [-1, -1]",
        "median difference -1 [-1, -1] lies inside what is accepted, below 0; order-statistic test at 95 %, 8 runs",
        "wrong-sign ( seen to refute it in the self-test )",
        "signsvrg in place of ssvr_fs ( self-test: inconclusive )",
        "registered checks withdrawn 0",
    ):
        assert text in said, text
    assert said.index("Not read of this paper: the appendix") < said.index("whose claims"), "before any verdict"


def test_the_second_attempt_has_a_stricter_level_and_other_seeds_are_exploratory(registered):
    registered(ONE)
    entries = registered(ONE, attempt=2)
    files = build("ssvr", ONE, records(entries[1].judged), ("mini", "paper"), {}, entries).files
    (row,) = rows(files)
    assert (row["standing"], row["attempt"]) == ("registered", "2")
    assert float(row["level"]) == pytest.approx(1 - 2 * 0.05 / 6)
    assert "registered, attempt 2, 98.33 %" in page_of(files)
    lacking = build("ssvr", ONE, records(entries[0].judged), ("mini", "paper"), {}, entries).files
    assert rows(lacking)[0]["verdict"] == "not run", "the seeds of an attempt that is over do not count"
    moved = paper(better=claim(check=claim()["check"] | {"by": 0.5}))
    files = build("ssvr", moved, records(entries[1].judged), ("mini", "paper"), {}, entries).files
    (row,) = rows(files)
    assert (row["standing"], row["attempt"], row["verdict"]) == ("exploratory", "", "reproduced")
    assert "exploratory: its check is not the registered one" in page_of(files)
    assert "Registered checks that no claim says any more" in page_of(files)
    assert "registered checks withdrawn 1" in page_of(files)


def test_theory_of_ours_is_not_called_published(registered):
    ours = {"tier": "ours", "where": "Theorem 9", "how": "derived", "reference": "here"}
    files = build("ssvr", paper(a=claim(source=ours, theory="slope 1")), records([0, 1]), ("mini", "paper"), {}).files
    said = page_of(files)
    assert "Theory slope 1 (Theorem 9; here; derived here)" in said
    assert "exploratory: not registered; full protocol" in said
    assert "[no end, no end]" in said, "two runs have no interval"
    assert "Published" not in said


def test_the_power_line_is_for_the_verdict_that_the_effect_points_to(registered):
    losing = [replace(r, metrics=r.metrics | {"mean_grad_l1": 3.0 + (r.seed == 0)}) for r in records(list(range(7)))]
    losing = [
        replace(r, metrics=r.metrics | {"mean_grad_l1": 3.5 + (r.seed < 1) / 9}) if r.method == "signsvrg" else r
        for r in losing
    ]
    turned = paper(a=claim(check=claim()["check"] | {"of": {"method": "signsvrg"}, "than": {"method": "ssvr_fs"}}))
    (judged,) = judge_all({"ssvr": turned}, losing, ("mini",), ())
    assert judged.verdict.verdict == "inconclusive"
    assert judged.verdict.planner.towards == "not reproduced"
    said = page_of(build("ssvr", turned, losing, ("mini", "paper"), {}).files)
    assert "Power to show the opposite, where the effect points:" in said
    assert "would show the opposite" in said


# ---- manifests


@pytest.fixture
def root(tmp_path, registered, monkeypatch) -> Path:
    monkeypatch.setattr(publish, "ROOT", tmp_path / "project")  # whose committed verdicts stand on another registry
    entries = registered(ONE)
    found = tmp_path / "results"
    write_archive(archive_path(found, "ssvr"), text_of(records(entries[0].judged)))
    publish.write_report(found, {"ssvr": ONE})
    return found


def made(root: Path) -> list[str]:
    """What a report on what is there makes anew."""
    said: list[str] = []
    publish.write_report(root, {"ssvr": ONE}, say=said.append)
    return said


def test_verdicts_are_remade_when_the_registry_changes_for_the_paper_alone(root, registered):
    manifest = json.loads((root / "manifests/ssvr.json").read_text())
    assert manifest["registry"] == registrations()[-1].digest
    assert made(root) == []
    registered(ONE, attempt=2, experiment="egab/markets")
    assert made(root) == [], "another paper's"
    assert publish.outdated(root, {"ssvr": ONE}) == []
    registered(ONE, attempt=3)
    assert publish.outdated(root, {"ssvr": ONE}) != []
    assert made(root) == ["ssvr: judging, drawing"]
    assert "not run" in (root / "verdicts/ssvr.csv").read_text()
    assert json.loads((root / "manifests/ssvr.json").read_text())["registry"] == registrations()[-1].digest


def test_what_the_self_test_saw_is_shown_once_it_has_run(root):
    (root / "selftest").mkdir()
    assert [coverage.place(row) for row in publish.verdicts(root, ["ssvr"])] == ["open"]
    row = f"better,{digest_of(ONE.claims['better'])},wrong-sign,not reproduced"
    (root / "selftest/ssvr.csv").write_text(f"claim,check,refuter,verdict\n{row}\n")
    assert made(root) == ["ssvr: judging, drawing"]
    assert (
        "wrong-sign ( seen to refute it in the self-test ), signsvrg in place of ssvr_fs ( not self-tested )"
        in page_of({"papers/ssvr.html": (root / "papers/ssvr.html").read_text()})
    )
    assert [coverage.place(row) for row in publish.verdicts(root, ["ssvr"])] == ["paper"]
    assert made(root) == []


def test_a_registry_without_its_last_line_is_refused(root, registered):
    registered(ONE, attempt=2)
    publish.write_report(root, {"ssvr": ONE})
    lines = _lines(registry.REGISTRY)
    registry.REGISTRY.write_text(lines[0] + "\n")
    with pytest.raises(
        UserError, match=f"lacks line {digest_of_line(lines[1])[:12]}, with which results/manifests/ssvr.json"
    ):
        publish.write_report(root, {"ssvr": ONE})
    registry.REGISTRY.write_text("\n".join(lines) + "\n")
    assert made(root) == []
