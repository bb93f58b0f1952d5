"""make reproduce-all on a small project: idempotent, keeps going, stopped and resumed, strict. Real processes throughout."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import forks
import pytest
import yaml
from conftest import QUIET, clean_env, copy_project

from bench.judge.reproduce import Experiments, Sparingly, regressions
from bench.judge.started import start

KEPT = ("digits", "identity_exact", "identity_signsgd")
ALL = ["--scale", "smoke", *QUIET]
SEEDS = [0]
CLAIM = {
    "source": {"tier": "ours", "where": "Algorithm 1", "how": "derived", "reference": "arXiv 2406.00489"},
    "scales": ["smoke"],
}
CLAIMS = {
    "exact-gradients": CLAIM
    | {
        "says": "Without noise the estimate is the gradient.",
        "experiment": "ssvr/identity_exact",
        "check": {
            "kind": "identity",
            "metric": "tracking_mse",
            "of": {"method": "ssvr"},
            "equals": 0.0,
            "tolerance": 1e-20,
            "share": 0.02,  # for which one seed is enough
        },
    },
    "beta-one": CLAIM
    | {
        "says": "With beta = 1 SSVR is signSGD.",
        "experiment": "ssvr/identity_signsgd",
        "check": {
            "kind": "identity",
            "metric": "last_grad_l1",
            "of": {"method": "ssvr"},
            "equals": {"method": "signsgd"},
            "tolerance": 1e-9,
            "budget": "iterations",
            "share": 0.02,
        },
    },
}
BRAKE = """        if __import__("os").path.exists(__file__ + ".brake"):
            __import__("time").sleep(0.2)
"""  # a step takes long while there is such a file, and no CPU


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project with three quick experiments and two claims, decided at smoke scale."""
    copy_project(tmp_path)
    for path in [*(tmp_path / "conf/paper").glob("*.yaml"), *(tmp_path / "conf/experiment").glob("*/*.yaml")]:
        if path.stem != "ssvr" and path.parent.name != "ssvr":
            path.unlink()
    for path in (tmp_path / "conf/experiment/ssvr").glob("*.yaml"):
        if path.stem not in KEPT:
            path.unlink()
        else:
            path.write_text(re.sub("(?m)^seeds: .*$", f"seeds: {SEEDS}", path.read_text()))
    path = tmp_path / "conf/paper/ssvr.yaml"
    paper = yaml.safe_load(path.read_text())
    paper["claims"] = CLAIMS
    paper["figures"] = {k: v for k, v in paper["figures"].items() if k == "digits"}
    path.write_text(yaml.safe_dump(paper))
    return tmp_path


def keep_one(project: Path, experiment: str, check: dict | None = None) -> None:
    """Leave one experiment and a claim on it: its own, or beta-one's with `check` on top."""
    for name in KEPT:
        if name != experiment:
            (project / f"conf/experiment/ssvr/{name}.yaml").unlink()
    path = project / "conf/paper/ssvr.yaml"
    paper = yaml.safe_load(path.read_text())
    if check is not None:
        claim = paper["claims"]["beta-one"]
        paper["claims"] = {"one": claim | {"experiment": f"ssvr/{experiment}", "check": claim["check"] | check}}
    else:
        paper["claims"] = {k: c for k, c in paper["claims"].items() if c["experiment"] == f"ssvr/{experiment}"}
    paper["figures"] = {k: f for k, f in paper["figures"].items() if k == experiment}
    path.write_text(yaml.safe_dump(paper))


def script(project: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.python([project / "scripts" / f"{name}.py", *arguments], clean_env(), cwd=project)


def report_files(project: Path) -> dict[str, bytes]:
    root = project / "results"
    folders = ("archive", "figures", "manifests", "papers", "tables", "verdicts")
    found = [root / "index.html", *(p for name in folders for p in (root / name).rglob("*.*")), project / "README.md"]
    return {str(p.relative_to(project)): p.read_bytes() for p in found if p.is_file()}


def verdicts(project: Path) -> dict[str, str]:
    rows = csv.DictReader((project / "results/verdicts/ssvr.csv").read_text().splitlines())
    return {r["claim"]: r["verdict"] for r in rows if "smoke" in r["scale"].split()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_it_runs_everything_once_and_writes_the_report(project):
    first = script(project, "reproduce_all", *ALL)
    assert first.returncode == 0, first.stderr
    assert "[3/3] ssvr/identity_signsgd at smoke scale: 2 runs to do" in first.stdout
    assert verdicts(project) == {"exact-gradients": "reproduced", "beta-one": "reproduced"}
    assert "exploratory" in first.stdout, "nothing is registered"
    files = report_files(project)
    assert {"results/index.html", "results/archive/ssvr.jsonl.xz"} <= set(files)
    assert {f"results/tables/ssvr/ssvr-digits-smoke.{end}" for end in ("csv", "md", "tex")} <= set(files)
    again = script(project, "reproduce_all", *ALL)
    assert again.returncode == 0
    assert "runs to do" not in again.stdout
    assert report_files(project) == files
    plan = script(project, "reproduce_all", "--dry-run", *ALL)
    assert "smoke: 0.0 CPU minutes left." in plan.stdout


def test_a_crash_stops_no_other_experiment(project):
    start = "        return [Move(group"
    edit(project / "methods/sign/signsgd.py", start, f"        raise RuntimeError('planted')\n{start}")
    done = script(project, "reproduce_all", "--jobs", "2", *ALL)
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ssvr/")]
    assert sorted(line.split()[1] for line in failed) == ["ssvr/digits", "ssvr/identity_signsgd"]
    assert verdicts(project) == {"exact-gradients": "reproduced", "beta-one": "not run"}
    assert re.search(r"[1-9] crashed", (project / "results/verdicts/ssvr.csv").read_text())


def test_an_experiment_whose_data_are_not_there_is_left_out(project):
    edit(project / "conf/experiment/ssvr/digits.yaml", "override /dataset: digits", "override /dataset: tiny_imagenet")
    done = script(project, "reproduce_all", *ALL, f"data_root={project / 'nothing'}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(("left out: ", "failed: "))]
    assert line.startswith("left out: ssvr/digits; data set 'tiny_imagenet' not found")
    assert verdicts(project) == {"exact-gradients": "reproduced", "beta-one": "reproduced"}


@pytest.mark.parametrize(
    "launcher",
    [
        [],
        pytest.param(["--launcher", "joblib"], marks=pytest.mark.faults),
        pytest.param(["--jobs", "1"], marks=pytest.mark.faults),
    ],
)
def test_stopped_and_started_again(project, launcher):
    """Ctrl-C: exit code 130, a report of what is done, a checkpoint of what is not; the second start finishes it."""
    long = [*ALL, "task.epochs=5"]  # 55 steps
    keep_one(project, "digits", {"metric": "test_accuracy", "tolerance": 1.0, "budget": "epoch"})
    methods = project / "methods/sign/base.py"
    edit(methods, "        moves = self._estimate(closure)\n", f"{BRAKE}        moves = self._estimate(closure)\n")
    brake = Path(f"{methods}.brake")
    brake.touch()
    words = [*launcher, *long, "checkpoint_every=0.5"]
    with forks.Process(words, clean_env(), cwd=project, program=str(project / "scripts/reproduce_all.py")) as child:
        while child.poll() is None and not list((project / "results").rglob("checkpoint.pt")):
            time.sleep(0.05)
        assert child.poll() is None, child.stderr
        child.send_signal(signal.SIGINT)
        code, errors = child.wait(), child.stderr
    assert code == 130, errors
    assert "stopped; run the same command again to go on" in errors
    assert (project / "results/index.html").exists()
    left = list((project / "results").rglob("checkpoint.pt"))
    assert left
    plan = script(project, "reproduce_all", "--dry-run", *long).stdout
    assert "unfinished" in plan
    brake.unlink()
    again = script(project, "reproduce_all", *launcher, *long)
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stderr or "joblib" in launcher
    assert len(list((project / "results").rglob("result.json"))) == 5
    assert not list((project / "results").rglob("checkpoint.pt"))


def test_reports_between_experiments_take_a_fiftieth_of_the_time(monkeypatch):
    now, made = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def work():
        made.append(now[0])
        now[0] += 3.0

    report = Sparingly(work)
    for at in (0.0, 10.0, 149.9, 150.0, 200.0):
        now[0] = at
        report()
        assert report.late == (at not in made)
    assert made == [0.0, 150.0]


def test_a_stop_reaches_every_experiment_under_way(tmp_path):
    with Experiments((), "smoke") as experiments:
        for name, seconds in (("a", 0.3), ("b", 60.0)):
            program = tmp_path / f"{name}.py"
            program.write_text(f"import time; time.sleep({seconds})")
            experiments.running[name] = start([str(program)])
        experiments.wait()
        assert list(experiments.running) == ["b"], "one has ended"
        os.kill(os.getpid(), signal.SIGTERM)
        experiments.wait()
    assert experiments.running == {}
    assert experiments.stopped == signal.SIGTERM
    assert experiments.failures == {}, "stopped is not failed"


def test_strict_notices_a_claim_that_is_lost(project):
    keep_one(project, "identity_exact")
    assert script(project, "reproduce_all", *ALL).returncode == 0
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q"],
        ["add", "-A", "-f", "results/verdicts/ssvr.csv"],
        ["commit", "-q", "-m", "results"],
    ):
        subprocess.run([*git, *command], cwd=project, check=True)
    assert script(project, "reproduce_all", "--strict", *ALL).returncode == 0
    sums = [
        "torch._foreach_add_(estimates, grads)\n            else",
        "torch._foreach_add_(estimates, grads, alpha=1.01)\n            else",
    ]
    edit(project / "methods/sign/ssvr.py", *sums)
    strict = script(project, "reproduce_all", "--strict", *ALL)
    assert strict.returncode == 1
    assert "strict: ssvr/exact-gradients at smoke scale: was reproduced, now not reproduced" in strict.stderr
    assert script(project, "reproduce_all", *ALL).returncode == 0


def test_strict_compares_each_scale_that_a_row_serves():
    row = {"paper": "p", "claim": "c", "scale": "mini paper", "verdict": "inconclusive", "reason": "why"}
    reproduced = {("p", "c", "paper"): "reproduced", ("p", "c", "mini"): "not run"}
    assert regressions(reproduced, [row]) == ["p/c at mini paper scale: was reproduced, now inconclusive (why)"]
    assert regressions(reproduced, [row | {"scale": "mini"}]) == []
    assert regressions(reproduced, [row | {"verdict": "reproduced"}]) == []


def test_a_registry_that_lost_its_last_line_is_refused(project):
    """One line and exit code 2, before any run, of every command that judges."""
    manifests = project / "results/manifests"
    manifests.mkdir(parents=True)
    (manifests / "ssvr.json").write_text(json.dumps({"files": {}, "drawn": {}, "registry": "ab" * 32}))
    for name, more in (("reproduce_all", ["--dry-run", "--scale", "smoke"]), ("report", [])):
        done = script(project, name, *more)
        said = "error: registry.jsonl: lacks line abababababab, with which results/manifests/ssvr.json was judged"
        assert (done.returncode, done.stderr) == (2, f"{said}; restore the file from git\n")
