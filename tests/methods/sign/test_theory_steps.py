"""Step sizes of the theorems: the powers of T, d and m that each states, the baselines' own among them."""

from __future__ import annotations

import math

import pytest

from methods.sign.baselines import SGD, AdamW
from methods.sign.signsgd import EFSignSGD, SignSGD, SignSGDSIM, SignSVRG
from methods.sign.ssvr import SSVR, SSVRFS

POWERS = {  # of (T, d, m) in lr and beta
    SSVR: {"lr": (-2 / 3, -1 / 2, 0), "beta": (-2 / 3, 0, 0)},
    SSVRFS: {"lr": (-1 / 2, -1 / 2, -1 / 4), "beta": (0, 0, -1)},
    SignSGD: {"lr": (-1 / 2, -1 / 2, 0)},
    SignSGDSIM: {"lr": (-3 / 4, -1 / 2, 0), "beta": (-1 / 2, 0, 0)},
    SignSVRG: {"lr": (-1 / 2, -1 / 2, -1 / 2)},
    EFSignSGD: {"lr": (-1 / 2, 0, 0)},
    SGD: {"lr": (-1 / 2, 0, 0)},
    AdamW: {"lr": (-1 / 2, 0, 0)},
}


@pytest.mark.parametrize("method", POWERS)
def test_the_powers_are_the_theorems(method):
    base, factor = [1000, 50, 64], 8
    at = method.theory(*base)
    assert set(at) - {"initial_batch"} == set(POWERS[method])
    for i in range(3):
        larger = method.theory(*(value * factor if i == k else value for k, value in enumerate(base)))
        for name, powers in POWERS[method].items():
            assert math.log(larger[name] / at[name], factor) == pytest.approx(powers[i])
    assert method is not SSVR or at["initial_batch"] == 10
