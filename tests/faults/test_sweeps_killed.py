"""SIGKILL at random moments of a sweep, and two sweeps at once on one folder: nothing finished is lost, nothing is computed wrong or twice."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
from sweeps import all_lasting
from whole_sweeps import RUNS, folders, plan, sound, sweep, under_way, undisturbed, until


def killed_again_and_again(root, kills: int, seed: int) -> int:
    """Start the sweep and kill it after a random time, until it was killed so often or has ended; how often it was."""
    rng, done = random.Random(seed), {}
    for kill in range(kills):
        with under_way(root) as child:
            time.sleep(rng.uniform(0.0, 1.5))
            ended = child.poll()
            child.send_signal(signal.SIGKILL)
            child.wait()
        now = all_lasting(root)
        assert {name: now[name] for name in done} == done, "what was finished stays"
        assert {name: undisturbed()[name] for name in now} == now
        assert sound(root) == set(now)
        done = now
        if ended is not None:
            assert ended == 0
            assert len(done) == RUNS
            return kill
    return kills


def finished(root) -> None:
    """The same command again ends the sweep."""
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()
    assert set(plan(root).values()) == {"done"}
    left = [p.name for folder in folders(root) for p in folder.iterdir()]
    assert set(left) == {"result.json", "metrics.jsonl", "env.json"}, "no checkpoint, no temporary file"


@pytest.mark.faults
def test_fifty_kills(tmp_path):
    killed = rounds = 0
    while killed < 50:
        root = tmp_path / f"round{rounds}"
        killed += killed_again_and_again(root, 50 - killed, seed=rounds)
        finished(root)
        rounds += 1
    assert rounds <= 50


def test_two_kills(tmp_path):
    killed_again_and_again(tmp_path / "results", 2, seed=7)
    finished(tmp_path / "results")


def attempts(root) -> list[int]:
    return [json.loads((folder / "env.json").read_text())["attempt"] for folder in folders(root)]


@pytest.mark.faults
def test_two_sweeps_at_once_compute_each_run_once(tmp_path):
    root = tmp_path / "results"
    with under_way(root) as one, under_way(root) as other:
        assert (one.wait(), other.wait()) == (0, 0), one.stderr + other.stderr
    assert all_lasting(root) == undisturbed()
    assert attempts(root) == [1] * RUNS
    finished(root)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_of_two_sweeps_one_is_killed_and_the_other_takes_over(tmp_path, seed):
    root, rng = tmp_path / "results", random.Random(seed)
    with under_way(root) as one, under_way(root) as other:
        until(lambda: all_lasting(root), one)
        time.sleep(rng.uniform(0.0, 0.5))
        (one if seed % 2 else other).send_signal(signal.SIGKILL)
        codes = {one.wait(), other.wait()}
    assert codes in ({0, -9}, {0}), "the other ends; the killed one may have ended before"
    assert all_lasting(root) == undisturbed()
    assert max(attempts(root)) <= 2
    finished(root)
