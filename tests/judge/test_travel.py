"""Runs that were computed elsewhere come into the report with their environment, and are refused if key, code or data differ."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
from pathlib import Path

import forks
import pytest
from conftest import ROOT, clean_env, edit_result, result_of, seed_folders

from bench.judge.gather import refresh
from bench.judge.papers import load_papers
from bench.judge.plan import plan
from bench.report.paper import machines

NAME = "ssvr/identity_signsgd"


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.python([ROOT / "scripts/archive.py", *arguments], clean_env())


@pytest.fixture
def away(program, tmp_path) -> Path:
    """Two jobs of two seeds, computed and exported elsewhere; their folders are gone."""
    program(f"experiment={NAME}", "scale=smoke", "verbose=false", "seeds=[0,1]")
    file = tmp_path / "runs.xz"
    done = script("export", str(file), f"results_root={tmp_path / 'results'}")
    assert (done.returncode, done.stdout) == (0, f"{file}: 4 runs\n"), done.stderr
    shutil.move(tmp_path / "results", tmp_path / "away")
    return file


def edited(file: Path, change) -> Path:
    """The file with one of its lines changed: `change(line)` of the first line that it returns anything for."""
    lines, done = [], False
    for text in lzma.decompress(file.read_bytes()).decode().splitlines():
        line = json.loads(text)
        if not done and change(line):
            done = True
        lines.append(json.dumps(line))
    assert done
    other = file.with_name("edited.xz")
    other.write_bytes(lzma.compress("\n".join(lines).encode()))
    return other


def test_runs_travel_and_are_reported_with_their_machine(away, tmp_path):
    def elsewhere(line):
        return "run" in line and line["run"]["environment"].update(cpu="a cluster's processor", threads=64) is None

    root = tmp_path / "results"
    done = script("import", str(edited(away, elsewhere)), f"results_root={root}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 runs imported")
    for folder in seed_folders(tmp_path):
        before = tmp_path / "away" / folder.relative_to(root)
        assert result_of(folder) == result_of(before)
        assert (folder / "metrics.jsonl").read_bytes() == (before / "metrics.jsonl").read_bytes()
        assert (folder.parent / "config.yaml").read_text() == (before.parent / "config.yaml").read_text()
    planned = plan([NAME], "smoke", ["seeds=[0,1]", f"results_root={root}"])
    assert {run.state for run in planned} == {"done"}
    found = machines(refresh(root, "ssvr", load_papers("ssvr")["ssvr"], planned))
    assert any("a cluster's processor, 64 threads" in text and "imported (1 run)" in text for text in found)
    again = script("import", str(away), f"results_root={root}")
    assert "0 runs imported" in again.stdout
    assert "4 were there already" in again.stdout


def test_what_is_there_is_kept(away, tmp_path):
    root = tmp_path / "results"
    script("import", str(away), f"results_root={root}")
    folder = seed_folders(tmp_path)[0]
    edit_result(folder, metrics=result_of(folder)["metrics"] | {"mean_grad_l1": 123.0})
    done = script("import", str(away), f"results_root={root}")
    assert done.returncode == 0
    assert "kept as it is" in done.stderr
    assert result_of(folder)["metrics"]["mean_grad_l1"] == 123.0


def test_what_other_code_computed_is_replaced(away, tmp_path):
    root = tmp_path / "results"
    script("import", str(away), f"results_root={root}")
    folder = seed_folders(tmp_path)[0]
    before = result_of(folder)
    edit_result(folder, code="0" * 12)
    done = script("import", str(away), f"results_root={root}")
    assert "1 runs imported" in done.stdout
    assert "computed by other code" in done.stderr
    assert result_of(folder) == before


def test_a_damaged_folder_is_one_line(away, tmp_path):
    for name, text in (("seed0/env.json", "{"), ("config.yaml", "{a: [")):
        path = next((tmp_path / "away" / "runs").glob(f"*/*/{name}"))
        path.write_text(text)
        done = script("export", str(tmp_path / "again.xz"), f"results_root={tmp_path / 'away'}")
        assert (done.returncode, done.stderr) == (2, f"error: {path}: damaged; nothing was exported\n")
        assert not (tmp_path / "again.xz").exists()


def _set(where: str, value):
    def change(line):
        if where.partition(".")[0] not in line:
            return False
        *path, last = where.split(".")
        for part in path:
            line = line[part]
        line[last] = value
        return True

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("job.parts.task.horizons", [1]), "is not that of the config"),
        (_set("job.names.method", "../../evil"), "method '../../evil' is not known here"),
        (_set("run.result.code", "0" * 12), "computed by other code (000000000000"),
        (_set("run.result.key", "0" * 64), "the key of the result is not that of its config"),
        (_set("run.result.seed", "../x"), "line 3"),
        (_set("run.result.status", None), "line 3 is damaged"),
        (_set("run.curve", "{"), "line 3 is damaged"),
        (_set("run.environment", []), "line 3 is damaged"),
        (_set("run.curve", "5\n"), "line 3 is damaged"),
        (_set("run.result.measured", {}), "line 3 is damaged"),
        (_set("run.result.measured.seeds_in_batch", 0), "line 3 is damaged"),
        (_set("run.result.metrics", [1]), "line 3 is damaged"),
        (_set("run.result.precision", None), "line 3 is damaged"),
        (_set("run.result.seed", -1), "line 3 is damaged"),
        (_set("run.result.method", "nobody"), "line 3 is damaged"),
        (_set("job.parts", None), "line 2"),
    ],
)
def test_a_run_that_is_not_this_project_s_is_refused_and_nothing_written(away, tmp_path, change, words):
    done = script("import", str(edited(away, change)), f"results_root={tmp_path / 'results'}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert words in done.stderr
    assert "nothing was imported" in done.stderr
    assert not (tmp_path / "results/runs").exists()


def test_other_data_is_refused(program, tmp_path):
    """A price file of the same name with another price."""
    rows = ["date,A,B", *(f"2020-01-{day:02d},{100 + day},{50 + day % 3}" for day in range(1, 13))]
    prices = tmp_path / "prices.csv"
    prices.write_text("\n".join(rows) + "\n")
    done = program("method=ucrp", "dataset=prices", f"dataset.path={prices}", "verbose=false")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "runs.xz"
    assert script("export", str(file), f"results_root={tmp_path / 'results'}").returncode == 0
    shutil.rmtree(tmp_path / "results")
    root = f"results_root={tmp_path / 'results'}"
    prices.write_text("\n".join(rows).replace("112", "113") + "\n")
    other = script("import", str(file), root)
    assert other.returncode == 2
    assert "computed from another" in other.stderr
    prices.write_text("\n".join(rows) + "\n")
    assert script("import", str(file), root).returncode == 0


def test_bad_files_and_empty_folders_are_one_line(tmp_path):
    text = tmp_path / "text.xz"
    text.write_text("not compressed")
    listed = tmp_path / "list.xz"
    listed.write_bytes(lzma.compress(b"[]\n"))
    for arguments, words in (
        (["export", str(tmp_path / "x.xz"), f"results_root={tmp_path}"], "no finished run"),
        (["export", str(tmp_path / "x.xz"), "paper=ssvr"], "paper=ssvr: unknown; allowed: results_root=DIR"),
        (["export", str(tmp_path / "x.xz"), "--paper", "ssrv"], "did you mean 'ssvr'"),
        (["import", str(tmp_path / "nothing.xz")], "no such file"),
        (["import", str(text)], "not written by"),
        (["import", str(listed)], "not written by"),
        (["import", str(tmp_path)], "damaged, or not written by"),
    ):
        done = script(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert words in done.stderr
