"""The speed of a machine: a positive number, the same for the whole process, told without torch, kept beside each result."""

from __future__ import annotations

import json
import subprocess
import sys

from conftest import ROOT, clean_env


def test_speed_is_measured_once_and_without_torch():
    code = (
        "import sys; from bench.run import speed\n"
        "first = speed.speed(); assert first == speed.speed() > 0; assert speed.speed.cache_info().misses == 1\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=clean_env())
    assert done.returncode == 0, done.stderr


def test_twice_the_work_is_half_the_speed(monkeypatch):
    """On a clock that ticks once a piece of work."""
    from bench.run import speed

    def measured(pieces: int) -> float:
        now = [0.0]
        monkeypatch.setattr(speed, "_round", lambda a, x: now.__setitem__(0, now[0] + 0.001 * pieces))
        monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
        return speed.speed.__wrapped__()

    one, two = measured(1), measured(2)
    assert abs(one / two - 2) < 1e-9


def test_env_json_tells_the_speed(go):
    (folder,) = go("method=signsgd", "dataset=digits", "scale=smoke")
    assert json.loads((folder / "env.json").read_text())["speed"] > 0
