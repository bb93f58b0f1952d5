"""scripts/runs.py clean: what goes, and what never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from conftest import ROOT, clean_env
from own_sweep import age, failed, job_folder, lines_of, make, runs, runs_in_a_process, tree

from bench.report.cleaning import Remover
from bench.report.own import Selection, select
from bench.run.locks import held, locked


@pytest.fixture
def root(copied):
    return copied


def test_clean_shows_first_and_deletes_with_yes(root):
    folder, before = failed(root), tree(root)
    done = runs("clean", "--state", "failed", f"results_root={root}")
    assert done.returncode == 0
    assert "nothing was deleted" in done.stdout
    assert tree(root) == before
    size = sum(path.stat().st_size for path in (folder / "seed1").iterdir())
    assert f"1 runs and 0 temporary files, {size} B" in done.stdout
    done = runs_in_a_process("clean", "--state", "failed", "--yes", f"results_root={root}")
    assert (done.returncode, done.stderr) == (0, "")
    gone = before - tree(root)
    assert {name.split("/")[3] for name in gone} == {"seed1"}
    assert not (folder / "seed1").exists()


@pytest.mark.parametrize(("typed", "left"), [(b"n\n", 4), (b"\n", 4), (b"y\n", 2)])
def test_on_a_terminal_it_asks(root, typed, left):
    ours, theirs = os.openpty()
    os.write(ours, typed)
    command = [sys.executable, str(ROOT / "scripts/runs.py"), "clean", "--method", "ssvr", f"results_root={root}"]
    with os.fdopen(theirs) as terminal:
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=True, env=clean_env())
    os.close(ours)
    assert "delete 6 runs and 0 temporary files" in done.stdout
    assert len(lines_of(root)) == left


def test_a_job_without_runs_is_gone_with_its_config(root):
    folders = [job_folder(root, "ssvr", lr) for lr in (1e-3, 1e-4)]
    age(folders[0] / "seed0", 200)
    assert runs("clean", "--older", "7d", "--yes", f"results_root={root}").returncode == 0
    assert sorted(path.name for path in folders[0].iterdir()) == ["config.yaml", "lock", "seed1", "seed2"]
    assert runs("clean", "--method", "ssvr", "--yes", f"results_root={root}").returncode == 0
    assert [folder.exists() for folder in folders] == [False, False]
    assert len(lines_of(root)) == 2


def test_tables_and_sheets_of_values_go_with_their_run(root):
    folder = job_folder(root, "ssvr", 1e-3)
    for name in ("values.csv", "sheet.png", ".values.csv.123", ".sheet.png.7"):
        (folder / "seed0" / name).write_bytes(b"x")
    assert runs("clean", "--method", "ssvr", "--yes", f"results_root={root}").returncode == 0
    assert not folder.exists()


def test_what_cannot_be_made_again_is_named_first(tmp_path):
    small = ["pretraining_steps=1", "feature_steps=1", "sampling_steps=2", "classifier_epochs=1", "membership=0"]
    keys = ["dataset=private_digits", "method=dp_full", "method.secure=false,true", "method.accountant=rdp"]
    root = make(tmp_path, "-m", *keys, "scale=smoke", *(f"task.{key}" for key in small))
    done = runs("clean", "--method", "dp_full", f"results_root={root}")
    (named,) = [line for line in done.stdout.splitlines() if "cannot be made again" in line]
    assert (Path(named.partition(": ")[0]) / "seed0/model.zip").exists()


def test_a_run_whose_lock_is_held_stays(root):
    folder = job_folder(root, "ssvr", 1e-3)
    with locked(folder, [1], pytest.fail):
        assert held(folder / "seed1")
        done = runs("clean", "--method", "ssvr", "--yes", f"results_root={root}")
    assert done.returncode == 0
    assert done.stderr == f"{folder / 'seed1'}: kept, a process holds its lock\n"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "lock", "seed1"]
    assert (folder / "seed1/result.json").exists()
    assert not held(folder / "seed1")


def test_a_person_s_files_stay(root):
    folder = job_folder(root, "ssvr", 1e-3)
    (folder / "seed0/notes.txt").write_text("mine")
    (folder / "seed1/plots").mkdir()
    (folder / "seed1/plots/a.svg").write_text("mine")
    (folder / "README").write_text("mine")
    (folder / "seed2/result.json.corrupt-1").write_text("{")
    done = runs("clean", "--method", "ssvr", "--yes", f"results_root={root}")
    assert done.returncode == 0
    assert f"{folder / 'seed0'}: kept, it holds files that the runner did not write: notes.txt\n" in done.stderr
    assert f"{folder / 'seed1'}: kept, it holds files that the runner did not write: plots\n" in done.stderr
    assert tree(folder) == {
        "README",
        "config.yaml",
        "lock",
        "seed0",
        "seed0/notes.txt",
        "seed1",
        "seed1/plots",
        "seed1/plots/a.svg",
    }
    assert len(lines_of(root)) == 2, "what is left of them is no run"


@pytest.mark.parametrize("level", ["task", "job", "seed", "file"])
def test_links_out_of_the_tree_are_not_followed(root, tmp_path, level):
    folder = job_folder(root, "ssvr", 1e-3)
    path = {"task": folder.parent, "job": folder, "seed": folder / "seed0", "file": folder / "seed0/result.json"}[level]
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = tree(elsewhere), elsewhere.read_bytes() if level == "file" else b""
    done = runs("clean", "--method", "ssvr", "--yes", f"results_root={root}")
    assert done.returncode == 0
    assert "kept" in done.stderr
    assert (tree(elsewhere), elsewhere.read_bytes() if level == "file" else b"") == before
    assert path.is_symlink()


def test_runs_on_another_disk_behind_the_folder_itself_are_ours(root, tmp_path):
    (root / "runs").rename(tmp_path / "scratch")
    (root / "runs").symlink_to(tmp_path / "scratch")
    assert runs("clean", "--method", "ssvr", "--yes", f"results_root={root}").returncode == 0
    assert len(lines_of(root)) == 2


def test_temporary_files_of_processes_that_are_gone(root):
    folder = job_folder(root, "ssvr", 1e-3)
    with forks.Process(["--help"], clean_env()) as process:
        process.wait()
    gone, alive = process.pid, os.getpid()
    left = [folder / f".config.yaml.{gone}", folder / f"seed0/.checkpoint.pt.{gone}"]
    kept = [folder / f".config.yaml.{alive}", folder / f"seed0/.checkpoint.pt.{alive}", folder / f"seed0/.mine.{gone}"]
    for path in (*left, *kept):
        path.write_bytes(b"half")
    before = tree(root)
    done = runs("clean", f"results_root={root}")
    assert "0 runs and 2 temporary files, 8 B" in done.stdout
    with locked(folder, [0], pytest.fail):
        assert "nothing to delete" in runs("clean", "--yes", f"results_root={root}").stdout
    assert runs("clean", "--yes", f"results_root={root}").returncode == 0
    assert before - tree(root) == {str(path.relative_to(root)) for path in left}


def test_a_run_that_finished_after_it_was_listed_stays(root):
    finished = (job_folder(root, "ssvr", 1e-4) / "seed1/result.json").read_bytes()
    failed(root)
    wanted, said = Selection(state="failed"), []
    (listed,) = select(root, wanted, pytest.fail)
    (listed.folder / "seed1/result.json").write_bytes(finished)
    assert Remover(root, wanted, said.append).job(listed) == 0
    assert said == [f"{listed.folder / 'seed1'}: kept, it has changed since it was listed"]
    assert (listed.folder / "seed1/result.json").exists()
