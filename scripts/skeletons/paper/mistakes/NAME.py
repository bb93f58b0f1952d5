"""FILL IN: classic mistakes in implementations of the method, planted one at a time."""

from __future__ import annotations

from bench.judge.selftest import Mistake

MISTAKES = [
    Mistake(
        "tiny-step",
        "FILL IN: what is wrong in it. Here: a step size that is 1,000 times too small.",
        "NAME/digits",
        {"method": "ssvr"},
        overrides=("method.lr=3e-6",),
    ),
]
