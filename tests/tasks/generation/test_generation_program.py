"""The program itself: a private run that is killed goes on with what it spent, and a forced one has a ledger of its own."""

from __future__ import annotations

import json
import os
import signal

import forks
import pytest
from conftest import QUIET, clean_env, result_of, seed_folders

DIGITS = [
    "method=dplora",
    "dataset=private_digits",
    "scale=smoke",
    "task.pretraining_steps=2",
    "task.feature_steps=2",
    "task.sampling_steps=2",
    "task.classifier_epochs=1",
    "method.accountant=rdp",
    "checkpoint_every=0.0",
]
# SIGKILL right after the third release is on the disk, before its noise is used.
DEADLY = """
import os, signal
fsync, said = os.fsync, []
def deadly(descriptor):
    fsync(descriptor)
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("ledger.jsonl"):
        said.append(1)
        if len(said) == 3: os.kill(os.getpid(), signal.SIGKILL)
os.fsync = deadly
"""
FILES = ["env.json", "ledger.jsonl", "metrics.jsonl", "result.json", "samples.png"]


def steps(folder) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "ledger.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="file descriptors have no names here")
def test_a_killed_program_goes_on_and_a_forced_one_begins_anew(go, tmp_path):
    killed = forks.run([f"results_root={tmp_path / 'results'}", *QUIET, *DIGITS], clean_env(), prelude=DEADLY)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = seed_folders(tmp_path)
    assert steps(folder) == [0, 1, 2]
    assert go(*DIGITS) == [folder]
    assert steps(folder) == [0, 1, 2, 2]
    metrics = result_of(folder)["metrics"]
    assert metrics["releases"] == metrics["steps"] == 4
    assert metrics["epsilon"] <= 10
    assert sorted(path.name for path in folder.iterdir()) == FILES
    go(*DIGITS, "force=true")
    assert steps(folder) == [0, 1, 2, 3]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert result_of(folder)["metrics"]["epsilon"] == metrics["epsilon"]
