"""Experiments that need no data folder."""

from __future__ import annotations

from bench.judge.embedded import embedded


def test_what_is_drawn_or_lies_in_a_package_is_embedded():
    drawn, packaged = ["ssvr/rate_stochastic", "r2sgld/leakage"], ["ssvr/digits", "egab/markets", "dplora/digits"]
    files = ["ssvr/cifar10", "ngvi/uci", "dplora/celeba64", "sava/cifar10_prune"]
    assert embedded([*drawn, *files, *packaged], "smoke") == [*drawn, *packaged]
