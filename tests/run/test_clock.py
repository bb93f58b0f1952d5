"""The clock of a run."""

from __future__ import annotations

from bench.run.clock import Clock


def test_the_clock_counts_work_alone(monkeypatch):
    now = iter([10.0, 13.0, 14.0, 20.0, 21.5])
    monkeypatch.setattr("bench.run.clock.time.perf_counter", lambda: next(now))
    clock = Clock(lambda: None, elapsed=100.0)
    assert clock.read() == 100.0  # not started: loading data and opening trackers are free
    clock.start()  # 10
    assert clock.read() == 103.0
    with clock.paused():  # 14
        assert clock.read() == 104.0
    assert clock.read() == 105.5  # started again at 20
