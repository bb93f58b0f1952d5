"""make reproduce: one claim's runs and its verdict; what it cannot run is one line."""

from __future__ import annotations

import forks
import pytest
from conftest import QUIET, ROOT, clean_env


def reproduce(*arguments: str):
    return forks.python([ROOT / "scripts/reproduce.py", *arguments], clean_env())


def test_a_claim_s_runs_are_made_and_its_verdict_is_said_and_again_at_once(tmp_path):
    command = [
        "--paper",
        "dplora",
        "--claim",
        "parameters-by-rank",
        "--scale",
        "mini",
        f"results_root={tmp_path}",
        *QUIET,
    ]
    done = reproduce(*command)
    assert done.returncode == 0, done.stderr
    assert "needs dplora/budget_rank at mini scale: 8 missing" in done.stdout
    assert "\nreproduced: all 2 parts hold" in done.stdout
    assert "\nin the committed results: " in done.stdout
    again = reproduce(*command)
    assert "needs dplora/budget_rank at mini scale: 8 done" in again.stdout
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]
    assert not (tmp_path / "archive").exists(), "no report is written"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "say which: make reproduce PAPER="),
        (("--paper", "srvr", "--claim", "rate-ssvr"), "did you mean 'ssvr'?"),
        (("--paper", "ssvr", "--claim", "rate-svr"), "did you mean 'rate-ssvr'?"),
        (("--paper", "ssvr", "--claim", "rate-ssvr", "--scale", "smoke"), "is decided at mini and paper scale"),
    ],
)
def test_what_is_not_there_is_one_line(arguments, line):
    done = reproduce(*arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
