"""When a task of an array counts as gone, by what squeue answers; the rest of `hardware=slurm` runs on a real one in tests/cluster."""

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
