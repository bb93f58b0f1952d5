"""When a task of an array counts as gone, by what squeue answers, and what is said where sbatch refuses; the rest of `hardware=slurm` runs on a
real cluster in tests/cluster."""

from __future__ import annotations

import pytest

from hydra_plugins.claimbench import slurm_launcher


@pytest.mark.parametrize(
    ("answers", "there"),
    [
        (["RUNNING"], True),
        (["", "", "PENDING"], True),  # it is being queued again
        (["", "", "", ""], False),
        (["Invalid job id specified"] * 4, False),
        (["", "Unable to contact slurm controller"], True),
    ],
)
def test_absent_several_times_in_a_row(answers, there, tmp_path, monkeypatch):
    squeue, asked = tmp_path / "squeue", tmp_path / "asked"
    told = [
        f"{n}) {'echo ' + a if a.isupper() or not a else f'echo slurm_load_jobs error: {a} >&2; exit 1'};;"
        for n, a in enumerate(answers, 1)
    ]
    told = [line.replace("echo ;;", ":;;") for line in told]
    squeue.write_text(f'#!/bin/sh\necho >> "{asked}"\ncase $(wc -l < "{asked}") in\n' + "\n".join(told) + "\nesac\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(slurm_launcher, "BETWEEN", 0.0)
    assert slurm_launcher.in_queue("7") is there
    assert len(asked.read_text()) == len(answers)


@pytest.mark.parametrize(
    ("sbatch", "squeue", "said"),
    [
        (
            "echo sbatch: fatal: Could not establish a configuration source >&2; exit 1",
            "exit 1",
            "fatal: Could not establish a configuration source; is a SLURM cluster reached from here?",
        ),
        ("exit 1", None, "without a word; is a SLURM cluster reached from here?"),
        (
            "echo sbatch: error: nowhere >&2; echo sbatch: error: Invalid partition name specified >&2; exit 1",
            "exit 0",
            "Invalid partition name specified",
        ),
    ],
)
def test_what_is_refused_is_one_line_without_a_table(sbatch, squeue, said, program, tmp_path):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, what in (("sbatch", sbatch), ("squeue", squeue)):
        if what is not None:
            (commands / name).write_text(f"#!/bin/sh\n{what}\n")
            (commands / name).chmod(0o755)
    sweep = ["hydra.mode=MULTIRUN", "method=sgd,signsgd", "dataset=digits", "scale=smoke"]
    for key in ("hardware", "hydra/launcher"):
        done = program(*sweep, f"{key}=slurm", env={"PATH": str(commands)}, quiet=False)
        assert (done.returncode, done.stderr) == (2, f"error: {key} = 'slurm': sbatch refused: {said}\n")
        assert done.stdout == "2 jobs, 2 to compute\n"
    assert [path.name for path in (tmp_path / "results/sweeps").iterdir()] == ["multirun.yaml"]
