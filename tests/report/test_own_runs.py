"""scripts/runs.py on the real program's runs: what it lists, compares and draws, and what it never deletes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import forks
import numpy as np
import pandas as pd
import pytest
from conftest import QUIET, ROOT, clean_env, edit_result
from own_sweep import age, failed, job_folder, lines_of, make, one_line, runs, runs_in_a_process, tree

from bench.judge.archive import archive_path, by_experiment, read_archive
from bench.judge.own import OwnJob, of_jobs, read_jobs
from bench.report.curves import MARK
from bench.report.own import of_papers, what_was_set
from bench.run.job import key_of
from bench.run.store import read_config, write_config


@pytest.fixture
def root(copied):
    return copied


# ---- list


def test_jobs_are_listed_by_what_was_set(root):
    listed = [line[:7] for line in lines_of(root)]
    named = [[method, "digits", f"lr {lr}"] for method in ("signsgd", "ssvr") for lr in ("0.0001", "0.001")]
    assert sorted(line[1:4] for line in listed) == named
    assert {tuple(line[4:]) for line in listed} == {("smoke", "0-2", "3 finished")}
    assert {line[0] for line in listed} == {path.name[-12:] for path in root.glob("runs/*/*")}


def test_a_paper_s_job_is_named_after_its_experiment():
    name, named = "ssvr/rate_finite_sum", of_papers()
    found = [r for r in read_archive(archive_path(ROOT / "results", "ssvr")) if named[r.key] == name]
    assert {r.key for r in found} == {r.key for r in by_experiment(found)[f"{name}@mini"]}
    for record in found:
        names = {"task": record.task, "method": record.method, "dataset": record.dataset}
        made = OwnJob(Path(), record.key, names, record.config, ())
        assert what_was_set(made, name) == f"{name}, num_components {record.config['dataset']['num_components']}"
    assert len({r.key for r in found}) == 9


def test_what_was_set_is_told_from_what_its_options_bring(job):
    expected = {
        ("method=ssvr",): "",
        ("method=adamw", "model=small_cnn", "method.beta1=0.8"): "small_cnn, beta1 0.8",
        ("method=ssvr", "model.hidden=[64]", "schedule=cosine"): "cosine, hidden [64]",
        ("method=ssvr", "dataset.classes=[3,5]", "method.lr=0.01"): "lr 0.01, classes [3,5]",
    }
    made = of_jobs([job("dataset=digits", "scale=mini", *line) for line in expected])
    assert [what_was_set(one, None) for one in made] == list(expected.values())


def test_states_ages_and_filters(root):
    folder = failed(root)
    (line,) = lines_of(root, "--method", "ssvr", "--state", "failed")
    assert (line[0], line[5:7]) == (folder.name[-12:], ["1", "1 failed"])
    (line,) = (line for line in lines_of(root) if line[0] == folder.name[-12:])
    assert line[6] == "1 finished, 1 failed, 1 unfinished"
    age(folder / "seed0", 30)
    (line,) = lines_of(root, "--older", "1d")
    assert line[5:8] == ["0", "1 finished", "1 day"]
    assert len(lines_of(root, "--newer", "1h")) == 4
    assert len(lines_of(root, "--dataset", "mnist")) == 0


def test_results_of_other_code_are_stale_even_where_the_code_is_gone(root):
    assert lines_of(root, "--stale") == []
    edit_result(job_folder(root, "ssvr", 1e-4) / "seed0", code="0" * 12)
    folder = job_folder(root, "signsgd", 1e-4)
    config = read_config(folder)
    config["parts"]["method"]["_target_"] = "methods.gone.Gone"
    key = key_of(config["parts"])
    write_config(folder, key, config["names"], config["parts"], config["data"])
    for seed in range(3):
        edit_result(folder / f"seed{seed}", key=key)
    listed = sorted(line[6] for line in lines_of(root, "--stale"))
    assert listed == ["1 finished, 1 stale", "3 finished, 3 stale"]


def test_a_running_job_is_running(root, tmp_path):
    arguments = ["method=ssvr", "dataset=digits", "scale=smoke", "task.epochs=100000", "verbose=false", *QUIET]
    with forks.Process([*arguments, f"results_root={root}"], clean_env()) as process:
        while not list(root.glob("runs/*/*/seed0/metrics.jsonl")) or not lines_of(root, "--state", "running"):
            assert process.poll() is None
        (line,) = lines_of(root, "--state", "running")
        assert "epochs 100000" in line[3]
        before = tree(root)
        done = runs("clean", "--method", "ssvr", "--state", "unfinished", "--yes", f"results_root={root}")
        assert done.returncode == 0
        assert "nothing to delete" in done.stdout
        assert tree(root) >= before
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    (line,) = lines_of(root, "--state", "unfinished")
    assert "epochs 100000" in line[3]


# ---- compare


def test_two_jobs_compared(root):
    one, two = job_folder(root, "signsgd", 1e-3), job_folder(root, "ssvr", 1e-3)
    done = runs("compare", one.name[-12:], str(two), f"results_root={root}")
    assert done.returncode == 0, done.stderr
    values = [
        [json.loads((folder / f"seed{seed}/result.json").read_text())["metrics"]["test_accuracy"] for seed in range(3)]
        for folder in (one, two)
    ]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("test accuracy"))
    numbers = [float(text) for text in re.findall(r"[-+]?\d+\.\d+", line.replace("..", " "))]
    difference = np.subtract(values[1], values[0])
    expected = [f(v) for v in (*values, difference) for f in (np.median, min, max)]
    assert numbers == pytest.approx(expected, abs=6e-4)
    assert line.split()[-1] == f"{(difference > 0).sum()}/3"
    assert done.stderr == "warning: different budgets: 1,408 and 2,752 gradient evaluations a seed\n"


def test_which_job_is_meant(root):
    assert "no job below" in one_line(runs("compare", "svr-digitz", "ssvr", f"results_root={root}"))
    line = one_line(runs("compare", "signsgd-digits", "ssvr-digits", f"results_root={root}"))
    assert line.startswith("error: signsgd-digits: 2 jobs have this in their name: signsgd-digits-")
    copied = job_folder(root, "ssvr", 1e-3)
    for number in range(20):
        shutil.copytree(copied, root / f"runs/classification/ssvr-digits-{number:012}")
    line = one_line(runs("plot", "ssvr-digits-0000", f"results_root={root}"))
    assert line.count("ssvr-digits-") == 13
    assert line.endswith("and 8 more")


# ---- plot


def test_curves_are_drawn_with_medians(root, tmp_path):
    name = job_folder(root, "ssvr", 1e-3).name
    done = runs("plot", name, job_folder(root, "signsgd", 1e-3).name, f"results_root={root}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "test_accuracy-ssvr-signsgd.svg: medians over 3 seeds, band: range\n"
    texts = [
        "".join(node.itertext())
        for node in ElementTree.parse(tmp_path / "test_accuracy-ssvr-signsgd.svg").iter()
        if node.tag.endswith("}text")
    ]
    assert {"ssvr", "signsgd", "step", "test accuracy", "medians over 3 seeds, band: range"} <= set(texts)


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_file_that_something_else_wrote_is_not_overwritten(root, tmp_path, suffix, start):
    out = tmp_path / f"figure.{suffix}"
    plot = ["plot", job_folder(root, "ssvr", 1e-3).name, "--out", str(out), "--over", "epoch", f"results_root={root}"]
    assert runs(*plot).returncode == 0
    assert out.read_bytes().startswith(start)
    assert MARK.encode() in out.read_bytes()
    assert runs(*plot).returncode == 0, "its own it does"
    out.write_bytes(b"mine")
    assert "--force overwrites it" in one_line(runs(*plot))
    assert out.read_bytes() == b"mine"
    assert runs(*plot, "--force").returncode == 0
    assert out.read_bytes().startswith(start)


def test_the_line_s_points_are_medians_over_the_seeds_that_finished(root):
    from bench.report.curves import _curves, _line

    folder = failed(root)
    (found,) = (j for j in read_jobs(root, pytest.fail) if j.folder == folder)
    said: list[str] = []
    curves = _curves(found, {}, said.append)
    assert [line.rpartition(" ")[2] for line in said] == ["failed", "unfinished"]
    assert list(curves) == [0]
    frame = pd.DataFrame(
        {"step": [1, 2, 1, 2, 1, 2], "loss": [3.0, 1.0, 2.0, 5.0, 9.0, 4.0], "seed": [0, 0, 1, 1, 2, 2]}
    )
    rows = {seed: own.to_dict("records") for seed, own in frame.groupby("seed")}
    line = _line("x", rows, "step", "loss", -1.0)
    expected = frame.groupby("step")["loss"].agg(["median", "min", "max"])
    assert (line.x, line.median, line.low, line.high) == ([1.0, 2.0], *(list(expected[name]) for name in expected))


def test_long_names_widen_the_figure_and_leave_the_axes_their_width(root, tmp_path):
    def axes_width(*names: str) -> float:
        """Points."""
        out = tmp_path / "drawn.svg"
        assert runs("plot", *names, "--over", "epoch", "--out", str(out), f"results_root={root}").returncode == 0
        d = re.search(r'id="patch_2">\s*<path d="([^"]*)"', out.read_text())[1]
        x = [float(number) for number in re.findall(r"[ML] ([\d.]+)", d)]
        return max(x) - min(x)

    short = job_folder(root, "ssvr", 1e-3).name, job_folder(root, "signsgd", 1e-3).name
    make(root, "method=ssvr", "dataset=digits", "scale=smoke", "method.weight_decay=0.0125", "model.hidden=[128]")
    (other,) = {p.name for p in root.glob("runs/*/ssvr-*")} - {job_folder(root, "ssvr", lr).name for lr in (1e-3, 1e-4)}
    assert min(axes_width(*short), axes_width(*short, other)) > 2.3 * 72, "2.3 inches"


def test_several_rows_at_a_step_ask_for_a_choice(go, tmp_path):
    go("method=ucrp", "dataset=nyse_o", "scale=smoke")
    root = tmp_path / "results"
    line = one_line(runs("plot", "ucrp", "--metric", "wealth", f"results_root={root}"))
    assert re.search(r"several rows at one step; choose some with --at cost=", line)
    done = runs(
        "plot", "ucrp", "--metric", "wealth", "--at", "cost=0.001", "--log", "y", f"results_root={root}", cwd=tmp_path
    )
    assert done.stdout == "wealth-ucrp.svg: 1 seed\n"


# ---- errors


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("list --older soon", "'soon' is no age; write 30m, 12h, 7d or 2w"),
        ("list --state lost", "invalid choice: 'lost'"),
        ("clean --state running", "invalid choice: 'running'"),
        ("compare ssvr-digits", "the following arguments are required: RUN"),
        ("compare {ssvr} {ssvr}", "are the same job"),
        ("plot {ssvr} --metric acuracy", "did you mean 'test_accuracy'"),
        ("plot {ssvr} --out figure.gif", "ends in .svg, .png, .pdf"),
        ("plot {ssvr} --out nowhere/figure.svg", "no such folder nowhere"),
        ("plot {ssvr} --at cost", "write COLUMN=VALUE"),
        ("plot {ssvr} --at epoch=77", "no seed that finished has a row to draw with epoch = 77"),
        ("lst", "invalid choice: 'lst'"),
        ("", "arguments are required"),
    ],
)
def test_bad_input_is_one_line(swept, line, words):
    ssvr = job_folder(swept, "ssvr", 1e-3).name
    assert words in one_line(runs(*line.format(ssvr=ssvr).split(), f"results_root={swept}"))


def test_no_runs_is_one_line(tmp_path):
    for command in ("list", "clean"):
        assert "no runs here" in one_line(runs(command, f"results_root={tmp_path}"))
    assert "no runs here" in one_line(runs_in_a_process("plot", "ssvr", f"results_root={tmp_path}"))
