"""FILL IN: weaker baselines and forgotten resets, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from bench.judge.selftest import Mistake

WEAKENED: list[Mistake] = []  # FILL IN: one for each baseline that comes with the paper
FORGOTTEN: list[Mistake] = []  # FILL IN: states that a run, an epoch or a seed would take over from another
