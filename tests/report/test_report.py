"""The committed report is what the archives give, byte for byte; tables and figures say what the runs say."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import forks
import pandas as pd
import pytest
from conftest import ROOT, clean_env
from made import run, runs

from bench.judge.papers import Figure, Pivot, load_papers
from bench.judge.parts import Part
from bench.judge.statistics import Interval
from bench.report import drawing, figures, publish, tables
from bench.report.digits import accepted_text
from bench.report.marks import CELL
from bench.report.pages import maths

RESULTS = ROOT / "results"
OPTIONS = {"capture_output": True, "text": True, "check": False, "env": clean_env()}


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.python([ROOT / "scripts/report.py", *arguments], clean_env())


def built(root: Path) -> dict[str, bytes]:
    """The files of a report, by their path below the folder of results."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*") if p.is_file()}


def test_the_committed_report_is_current_and_rebuilt_byte_for_byte_from_the_archives_alone(tmp_path):
    for name in ("archive", "selftest"):
        if (RESULTS / name).exists():
            shutil.copytree(RESULTS / name, tmp_path / name, ignore=lambda _, names: [n for n in names if "." not in n])
    command = [sys.executable, str(ROOT / "scripts/report.py"), "--from-archive", "--paper", "ssvr"]
    done = subprocess.run([*command, f"results_root={tmp_path}"], **OPTIONS)  # a hash seed of its own
    assert done.returncode == 0, done.stderr
    assert "rate-ssvr" in done.stdout
    assert "egab: judging, drawing" in done.stderr
    listed = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    committed = {name.removeprefix("results/"): (ROOT / name).read_bytes() for name in listed.splitlines()}
    found = built(tmp_path)
    assert set(found) == set(committed)
    differ = [name for name in found if found[name] != committed[name]]
    assert [name for name in differ if not name.startswith("manifests/")] == [], "manifests tell versions of libraries"


def bring(root: Path, paper: str) -> None:
    """A paper's archive and committed report, which the test above finds to be what is made of it; the index follows by `report`."""
    manifest = json.loads((RESULTS / f"manifests/{paper}.json").read_text())
    more = (f"archive/{paper}.jsonl.xz", f"selftest/{paper}.csv", f"manifests/{paper}.json")
    for name in (*more, *manifest["files"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RESULTS / name, root / name)
    assert report("--from-archive", f"results_root={root}").returncode == 0


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """A folder with the archive and report of one paper."""
    root = tmp_path_factory.mktemp("reported")
    bring(root, "doublysgd")
    return root


@pytest.fixture
def small(reported: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(reported, tmp_path, dirs_exist_ok=True)


def test_only_what_changed_is_made_again_and_only_files_of_the_report_are_touched(small):
    before = built(small)
    mine = {"figures/mine.png": b"png", "tables/thesis.tex": b"tex", "tables/doublysgd/notes.md": b"notes"}
    for name, content in mine.items():
        (small / name).write_bytes(content)
    again = report("--from-archive", f"results_root={small}")
    assert again.returncode == 0
    assert "judging" not in again.stderr
    (small / "tables/doublysgd/claims.md").write_text("edited by hand\n")
    (small / "tables/doublysgd/old.md").write_text("from a claim that is gone\n")
    manifest = json.loads((small / "manifests/doublysgd.json").read_text())
    manifest["files"]["tables/doublysgd/old.md"] = "an earlier report wrote it"
    manifest["files"]["../outside.md"] = "no report writes there"
    (small / "manifests/doublysgd.json").write_text(json.dumps(manifest))
    (small.parent / "outside.md").write_text("mine\n")
    check = report("--check", f"results_root={small}")
    assert check.returncode == 1
    wrong = [line.split()[4].rstrip(";") for line in check.stderr.splitlines()]
    assert {"tables/doublysgd/claims.md", "tables/doublysgd/old.md"} <= set(wrong)
    mended = report("--from-archive", f"results_root={small}")
    assert "doublysgd: judging, drawing" in mended.stderr
    assert built(small) == before | mine
    assert (small.parent / "outside.md").read_text() == "mine\n"


def test_figures_that_did_not_change_are_not_drawn_again(small, monkeypatch):
    """A manifest from before an edit of the claims: all is judged anew, no figure is drawn."""
    before = built(small)
    path = small / "manifests/doublysgd.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"from": "other claims"}))
    monkeypatch.setattr(drawing, "draw", lambda *_, **__: pytest.fail("drawn again"))
    publish.write_report(small, {"doublysgd": load_papers("doublysgd")["doublysgd"]})
    del before["index.html"]
    assert {name: content for name, content in built(small).items() if name in before} == before


def test_branches_that_ran_different_papers_merge(small):
    """Two branches, another paper's runs and report on each: git merges them, and the result is up to date."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", "-C", str(small)]

    def run_git(*arguments: str) -> None:
        done = subprocess.run([*git, *arguments], **OPTIONS)
        assert done.returncode == 0, done.stdout + done.stderr

    def commit(branch: str, paper: str) -> None:
        run_git("checkout", "-q", "-B", branch, "base")
        bring(small, paper)
        run_git("add", "-A")
        run_git("commit", "-qm", paper)

    run_git("init", "-q", "-b", "base")
    run_git("add", "-A")
    run_git("commit", "-qm", "base")
    commit("one", "egab")
    commit("two", "featlearn")  # its neighbour in every list
    run_git("merge", "-q", "one", "-m", "merged")
    check = report("--check", f"results_root={small}")
    assert (check.returncode, check.stderr) == (0, "")


def test_bad_input_is_one_line(tmp_path):
    for arguments, words in (
        (["--paper", "ssrv"], "did you mean 'ssvr'"),
        (["--check", f"results_root={tmp_path}"], "archive: no archive of runs"),
    ):
        done = report(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert words in done.stderr


GRID = [
    r
    for m in (64, 256)
    for r in runs("ssvr_fs", [m / 10, m / 10 + 1, m / 10 + 2], config={"dataset.num_components": m})
]


def test_tables_in_three_formats():
    name = "ssvr/rate_finite_sum"
    found = [*GRID, run("signsvrg", 0, None, config={"dataset.num_components": 64})]
    rows = list(csv.DictReader(io.StringIO(tables.csv(tables.experiment_table(name, found)))))
    assert [(r["method"], r["dataset.num_components"], r["seeds"], r["states"]) for r in rows] == [
        ("ssvr_fs", "64", "3", "3 done"),
        ("ssvr_fs", "256", "3", "3 done"),
        ("signsvrg", "64", "0", "1 missing"),
    ]
    assert float(rows[0]["mean_grad_l1"]) == pytest.approx(7.4)
    text = tables.markdown(tables.readable(name, found))
    assert "| ssvr_fs  | 64" in text
    assert "7.400 (6.400..8.400)" in text, "median and range of 6.4, 7.4, 8.4"


def test_bars_do_not_break_markdown_cells():
    lines = tables.markdown(pd.DataFrame({"KL(q || q*)": ["|x|", "1"], "n": [1, 2]})).splitlines()
    assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3, 3]


def test_figure_lines_are_medians_with_intervals():
    (line,) = figures.lines(
        Figure(experiment="ssvr/rate_finite_sum", caption="", x="dataset.num_components", y="mean_grad_l1"), GRID
    )
    assert (line.label, line.x, line.seeds) == ("ssvr_fs", [64.0, 256.0], 3)
    assert line.median == pytest.approx([7.4, 26.6])
    assert (line.low, line.high) == ([6.4, 25.6], [8.4, 27.6]), "the range of three seeds"
    six = runs("ssvr_fs", [1.0, 9.0, 2.0, 8.0, 3.0, 100.0], config={"dataset.num_components": 64})
    (line,) = figures.lines(
        Figure(experiment="ssvr/rate_finite_sum", caption="", x="dataset.num_components", y="mean_grad_l1"),
        [*six, run("ssvr_fs", 6, {"mean_grad_l1": 2.5}, config={"dataset.num_components": 64})],
    )
    assert (line.median, line.low, line.high) == ([3.0], [1.0], [100.0]), (
        "of seven values at 95 % the smallest and largest"
    )
    curve = [run("a", s, {"mean_grad_l1": 1.0}, curve=[{"iterations": 10, "mean_grad_l1": s}]) for s in (1, 3)]
    bad = [run("b", 0, {"mean_grad_l1": None}, status="diverged", curve=[{"iterations": 10, "mean_grad_l1": 9.0}])]
    (line,) = figures.lines(
        Figure(experiment="ssvr/rate_finite_sum", caption="", x="iterations", y="mean_grad_l1"), [*curve, *bad]
    )
    assert (line.label, line.median) == ("a", [2.0]), "a diverged run is not averaged in"


def test_figures_are_the_same_bytes_and_valid_svg():
    figure = Figure(
        experiment="ssvr/rate_finite_sum",
        caption="",
        x="dataset.num_components",
        y="mean_grad_l1",
        log="xy",
        theory={"m^1/4": {"slope": 0.25, "of": "ssvr_fs"}},
    )
    found = figures.lines(figure, GRID)
    svg = drawing.draw(figure, found, "finite_sum")
    assert svg == drawing.draw(figure, found, "finite_sum")
    words = {
        "".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"ssvr_fs", "num components", "mean gradient norm, l1", "64", "256"} <= words, "text stays text"
    assert "1/4" in "".join("".join(e.itertext()) for e in ElementTree.fromstring(svg).iter())


def test_a_figure_takes_the_rows_and_runs_that_it_names():
    rows = [{"iterations": t, "cost": c, "mean_grad_l1": t * c} for t in (1, 2) for c in (1, 10)]
    made = [run(m, 0, {"mean_grad_l1": 1.0}, curve=rows) for m in "abc"]
    figure = Figure(
        experiment="ssvr/rate_finite_sum",
        caption="",
        x="iterations",
        y="mean_grad_l1",
        only={"method": ["a", "c"]},
        at={"cost": 10},
    )
    assert [(line.label, line.median) for line in figures.lines(figure, made)] == [
        ("a", [10.0, 20.0]),
        ("c", [10.0, 20.0]),
    ]


def test_a_table_by_a_column_of_the_curve():
    spec = Pivot(experiment="ssvr/rate_finite_sum", caption="", value="mean_grad_l1", split="cost")
    rows = [{"cost": c, "mean_grad_l1": 2.0 * c} for c in (1.0, 10.0)]
    made = [run(m, s, {"mean_grad_l1": 1.0}, curve=rows, dataset=d) for m in "ab" for d in "xy" for s in (0, 1)]
    found = tables.pivot(spec, [r for r in made if (r.method, r.dataset) != ("b", "y")])
    assert found.columns.tolist() == ["cost", "method", "x", "y"]
    assert found[["cost", "method", "x"]].to_numpy().tolist() == [
        [1.0, "a", 2.0],
        [1.0, "b", 2.0],
        [10.0, "a", 20.0],
        [10.0, "b", 20.0],
    ]
    assert tables.as_text(found)["y"].tolist() == ["2.000", "", "20.00", ""]
    skewed = [
        run("a", s, {"mean_grad_l1": 1.0}, curve=[{"cost": 1.0, "mean_grad_l1": y}], dataset="x")
        for s, y in enumerate((1.0, 2.0, 90.0))
    ]
    assert tables.pivot(spec, skewed)["x"].tolist() == [2.0], "the median over seeds"


def test_small_helpers():
    assert [tables.short(v) for v in (0.0, 0.41234, 128.512, 1234567.0, 1e-9, float("nan"))] == [
        "0", "0.4123", "128.5", "1.23e+06", "1e-09", "nan",
    ]  # fmt: skip
    assert maths("T^-1/3 & m^1/4.") == "T<sup>-1/3</sup> &amp; m<sup>1/4</sup>."
    assert maths("d^(k-1), d^2") == "d<sup>k-1</sup>, d<sup>2</sup>"


def test_intervals_and_accepted_regions_as_text():
    inf = math.inf
    made = [(0.41, -inf, 0.44, 5, "median"), (0.41, 0.4, 0.44, 9, "median"), (0.41, 0.4, 0.44, 3, "range")]
    made += [(0.41, 0.41, 0.41, 2, "exact"), (0.41, math.nan, math.nan, 1, "one value")]
    shown = ["0.4100 [-inf, 0.4400]", "0.4100 [0.4000, 0.4400]", "0.4100 (0.4000..0.4400)", "0.4100", "0.4100"]
    assert [tables.interval_text(Interval(*one)) for one in made] == shown
    accepted = [(-inf, 0.5), (0.5, inf), (-inf, -0.0), (0.0, inf), (-0.4, -0.29), (15.23195, 15.23205)]
    parts = [Part("x", Interval(*made[0]), ends, "median", strict=0 in ends) for ends in accepted]
    assert [accepted_text(part) for part in parts] == [
        "at most 0.5", "at least 0.5", "below 0", "above 0", "[-0.40, -0.29]", "[15.23195, 15.23205]",
    ]  # fmt: skip
    assert CELL.fullmatch("-0.41 [-inf, 0.44]"), "no formula for a spreadsheet"


def test_published_points_stand_behind_the_lines():
    source = {"tier": "paper", "where": "Figure 1, digitised", "how": "read", "reference": "arXiv"}
    figure = Figure(
        experiment="ssvr/rate_finite_sum",
        caption="A caption.",
        x="dataset.num_components",
        y="mean_grad_l1",
        published={"source": source, "points": {"ssvr_fs": [[64, 7.0], [256, 26]], "another": [[100, 10]]}},
    )
    assert figure.legend == "A caption. Open squares: published (Figure 1, digitised; read in the source)."
    bare = figure.model_copy(update={"published": None})
    assert bare.legend == "A caption."
    found = figures.lines(figure, GRID)
    svg = drawing.draw(figure, found, "finite_sum")
    assert "published" in svg
    squares = svg.count("fill-opacity: 0; stroke: #0077bb; stroke-opacity: 0.75")
    assert squares == 2, "in the colour of their line"
    assert "published" not in drawing.draw(bare, found, "finite_sum")
    with pytest.raises(ValueError, match="points from memory"):
        Figure(
            experiment="ssvr/rate_finite_sum",
            caption="",
            x="dataset.num_components",
            y="mean_grad_l1",
            published={"source": source | {"how": "recalled"}, "points": {}},
        )


def test_lines_relative_to_a_run_are_ratios_seed_by_seed():
    figure = Figure(
        experiment="ssvr/rate_finite_sum",
        caption="",
        x="dataset.num_components",
        y="mean_grad_l1",
        relative_to={"method": "signsvrg"},
    )
    base = [r for m in (64, 256) for r in runs("signsvrg", [2.0, 4.0, 8.0], config={"dataset.num_components": m})]
    (line,) = figures.lines(figure, [*GRID, *base])
    assert (line.label, line.x) == ("ssvr_fs", [64.0, 256.0])
    assert line.median == pytest.approx([7.4 / 4, 26.6 / 4])
    curves = [
        run(name, 0, {"mean_grad_l1": 1.0}, curve=[{"iterations": k, "mean_grad_l1": y * k} for k in (1, 2)])
        for name, y in (("ssvr_fs", 6.0), ("signsvrg", 3.0))
    ]
    (line,) = figures.lines(figure.model_copy(update={"x": "iterations"}), curves)
    assert (line.x, line.median) == ([1.0, 2.0], [2.0, 2.0])
    assert figures.lines(figure, GRID) == [], "nothing to divide by"
