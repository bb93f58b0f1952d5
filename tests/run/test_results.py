"""Results on disk: reuse, force, damage, crash, divergence, a full disk, and what result.json and env.json hold."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import QUIET, ROOT, clean_env, crashing_program, result_of, seed_folders

from bench.run.atomic import write_atomic, write_json
from bench.run.curve import read_metrics
from bench.run.progress import ago, seeds_in_words
from bench.run.result import read_result

RUN = ["method=signsgd", "dataset=digits", "scale=smoke", "seeds=[0,1]"]


def test_a_second_invocation_reuses_the_result(program, tmp_path):
    first = program(*RUN)
    assert first.returncode == 0, first.stderr
    folders = seed_folders(tmp_path)
    assert [f.name for f in folders] == ["seed0", "seed1"]
    stamps = [(f / "result.json").stat().st_mtime_ns for f in folders]
    assert program(*RUN).returncode == 0
    assert stamps == [(f / "result.json").stat().st_mtime_ns for f in folders]
    assert program(*RUN, "seeds=[0,1,2]").returncode == 0, "only the missing seed is computed"
    assert stamps == [(f / "result.json").stat().st_mtime_ns for f in folders]
    assert program(*RUN, "force=true").returncode == 0
    assert stamps != [(f / "result.json").stat().st_mtime_ns for f in folders]


def test_what_was_taken_is_told_from_what_was_computed(program, tmp_path):
    first = program(*RUN)
    assert not [line for line in first.stdout.splitlines() if line.startswith("taken") or ", taken" in line]
    assert first.stdout.splitlines()[:2] == ["signsgd on digits, seeds 0, 1", "on cpu, 1 thread"]
    assert first.stdout.count("on cpu") == 1
    old = time.time() - 2.5 * 86400
    for folder in seed_folders(tmp_path):
        os.utime(folder / "result.json", (old, old))
    again = program(*RUN, "seeds=[0,1,2]")
    (line,) = [line for line in again.stdout.splitlines() if line.startswith("taken from")]
    assert line == f"taken from {seed_folders(tmp_path)[0].parent}, seeds 0, 1: computed 2 days ago"
    (status,) = [line for line in again.stdout.splitlines() if "status" in line]
    assert [cell.strip() for cell in status.split("│")[2:5]] == ["finished, taken", "finished, taken", "finished"]
    assert "on cpu" not in program(*RUN).stdout, "nothing was computed"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (7200, "2 hours"), (90000, "1 day")],
)
def test_ages_in_words(seconds, said):
    assert ago(seconds) == f"{said} ago"


def test_seeds_in_words():
    found = [seeds_in_words(seeds) for seeds in ([3], [0, 1], [0, 1, 2], [0, 2, 3, 4, 9])]
    assert found == ["seed 3", "seeds 0, 1", "seeds 0-2", "seeds 0, 2-4, 9"]


def test_taken_results_cost_no_import_of_torch(program, tmp_path):
    program(*RUN)
    code = (
        "import sys; sys.argv = ['run.py', *sys.argv[1:]]; import run; from bench.run.cli import run as cli\n"
        "assert cli(run.main, run.compare) == 0; assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, f"results_root={tmp_path / 'results'}", *QUIET, *RUN]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean_env(), timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "finished, taken" in done.stdout


def test_a_result_says_what_it_was_computed_with(program, tmp_path):
    program(*RUN)
    folder = seed_folders(tmp_path)[0]
    result, environment = result_of(folder), json.loads((folder / "env.json").read_text())
    assert {"test_accuracy", "test_nll", "test_ece", "train_loss", "grad_l1", "grad_l2", "gradient_evaluations"} <= set(
        result["metrics"]
    )
    assert result["metrics"]["gradient_evaluations"] == 1437 // 64 * 64
    assert result["measured"]["examples_per_second"] > 0
    assert result["measured"]["peak_memory_bytes"] > 2**20
    assert environment["versions"]["torch"]
    assert environment["threads"] == 1
    assert environment["git_commit"] is None or len(environment["git_commit"]) == 40
    everything = "".join(path.read_text() for path in folder.parent.rglob("*.json"))
    assert platform.node() not in everything
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in everything
    assert (folder.parent / "config.yaml").read_text().count("_target_") == 5


@pytest.mark.parametrize("damage", [b"", b'{"status": "finis', b"[1, 2]", b"\xff\xfe", b"{}"])
def test_a_damaged_result_is_moved_aside_and_recomputed(damage, tmp_path):
    (tmp_path / "result.json").write_bytes(damage)
    said: list[str] = []
    assert read_result(tmp_path, "key", said.append) is None
    assert "damaged" in said[0]
    assert (tmp_path / "result.json.corrupt-1").read_bytes() == damage


def test_a_truncated_result_is_recomputed_by_the_program(program, tmp_path):
    program(*RUN)
    path = seed_folders(tmp_path)[0] / "result.json"
    text = path.read_text()
    path.write_text(text[:100])
    again = program(*RUN)
    assert again.returncode == 0
    assert "damaged" in again.stderr
    assert json.loads(path.read_text())["metrics"] == json.loads(text)["metrics"]


def test_a_diverged_run_is_a_result_with_its_curve(program, tmp_path):
    done = program("method=sgd", "method.lr=1e20", "dataset=digits", "task.epochs=3", "scale=smoke")
    assert done.returncode == 0, done.stderr
    folder = seed_folders(tmp_path)[0]
    assert result_of(folder)["status"] == "diverged"
    assert len(read_metrics(folder)) == 1
    assert "diverged" in done.stdout


def test_one_crashed_seed_leaves_error_json_and_the_sweep_goes_on(tmp_path):
    """A method that crashes in seed 0 of the first job: seed 1 and the second job still run; the exit code is 1."""
    sweep = ["-m", "method=signsgd,sgd", "dataset=digits", "scale=smoke", "seeds=[0,1]"]
    done = crashing_program(*sweep, f"results_root={tmp_path / 'results'}", *QUIET)
    assert done.returncode == 1, done.stderr
    assert "planted" in done.stderr
    assert "Traceback" not in done.stderr
    by_name = {f"{f.parent.name.split('-')[0]}/{f.name}": f for f in seed_folders(tmp_path)}
    error = json.loads((by_name["signsgd/seed0"] / "error.json").read_text())
    assert "RuntimeError: planted" in error["traceback"]
    assert not (by_name["signsgd/seed0"] / "result.json").exists()
    for name in ("signsgd/seed1", "sgd/seed0", "sgd/seed1"):
        assert result_of(by_name[name])["status"] == "finished"


def test_a_full_disk_is_one_line_and_keeps_what_was_finished(program, tmp_path):
    """The kernel refuses to grow files past 20 kB: the checkpoint cannot be written, finished seeds stay."""

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    assert program(*RUN, "seeds=[0]").returncode == 0
    before = result_of(seed_folders(tmp_path)[0])
    done = program(*RUN, "checkpoint_every=0.0", preexec_fn=small_files, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 1
    assert "disk full" in done.stderr
    assert "checkpoint.pt: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    folders = seed_folders(tmp_path)
    assert result_of(folders[0]) == before
    assert not list(folders[1].glob(".*")), "no half-written file is left"
    assert program(*RUN).returncode == 0, "with space again, the rest is computed"


@pytest.mark.parametrize(
    ("below", "words"),
    [
        ("", "results_root = '': must be a string that is not empty"),
        ("file", "{0}/file: a file or a broken link stands where a folder is needed"),
        ("file/below", "{0}/file: a file or a broken link stands"),
        ("link", "{0}/link: a file or a broken link stands"),
        ("link/below", "{0}/link: a file or a broken link stands"),
        ("/proc/results", "/proc/results: No such file or directory"),
    ],
)
@pytest.mark.parametrize("sweep", [[], ["hydra.mode=MULTIRUN"]])
def test_a_results_root_that_cannot_be_made(program, tmp_path, below, words, sweep):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    done = program(*RUN, *sweep, f"results_root={tmp_path / below if below else ''}", "verbose=false")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "results_root" in done.stderr
    assert words.format(tmp_path) in done.stderr.replace("/sweeps", "")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["config.yaml", "lock"])
def test_no_space_before_the_first_step_is_one_line(program, tmp_path, name):
    """No file of a hundred bytes can be written, or (a file system of four nodes, where that may be mounted) no folder made."""

    def no_file() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    if name == "config.yaml":
        done = program(
            *RUN,
            "seeds=[0]",
            preexec_fn=no_file,
            env=env,
            stdout=subprocess.DEVNULL,
            capture_output=False,
            stderr=subprocess.PIPE,
        )
        assert f"{name}: File too large" in done.stderr
    else:
        (tmp_path / "results").mkdir()
        small = ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=4", "none", str(tmp_path / "results")]
        if shutil.which("mount") is None or subprocess.run(small, capture_output=True, check=False).returncode:
            pytest.skip("no file system may be mounted here")
        try:
            done = program(*RUN, "seeds=[0]", "verbose=false")
        finally:
            subprocess.run(["umount", str(tmp_path / "results")], check=True)
        (line,) = done.stderr.splitlines()
        assert re.match(r"failed: cannot write .*/runs/.*: No space left on device; free some space", line)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "None" not in done.stderr


def test_atomic_write_leaves_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"x": None}

    def fail(file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, fail)
    assert json.loads(path.read_text()) == {"x": None}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_verbose_false_is_silent(program):
    done = program(*RUN, "verbose=false")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_plain_lines_and_a_closing_table_without_a_terminal(program):
    done = program(*RUN)
    assert "test_accuracy" in done.stdout
    assert "ETA" in done.stdout
    assert "\x1b" not in done.stdout
