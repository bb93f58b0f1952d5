"""SAVA with the released code's costs between batches, against POT and costs by their formula; what it reads of the pixels; resumption."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import ot
import pytest
import torch
from reference.transport_values import Reference, squares
from transport_points import problem, valued

from bench.tasks.valuation.protocol import Problem
from methods.valuation.batches import batches, ordered
from methods.valuation.released import scaled
from methods.valuation.sava import SAVA, sava_values

SIZES = {"batch_size": 30, "reference_batch_size": 20}


@cache
def pictures(seed: int = 5) -> Problem:
    """120 points and 50 reference points of 4 classes, with 12 grey pixels each that know of the class."""
    p, g = problem(), torch.Generator().manual_seed(seed)
    raw = [
        (40.0 * y[:, None] + torch.randint(0, 130, (len(y), 12), generator=g)).to(torch.uint8)
        for y in (p.y, p.reference_y)
    ]
    return replace(p, raw_x=raw[0], reference_raw_x=raw[1])


def stretches(p: Problem) -> tuple[list, list]:
    sides = ((p.y, 30, 1), (p.reference_y, 20, 2))
    first, second = ([b.numpy() for b in batches(ordered(y, "stratified", 0, k), n)] for y, n, k in sides)
    return first, second


def test_plan_and_values_are_those_of_pot():
    p = pictures()
    by_formula = Reference(p.x, p.y, p.reference_x, p.reference_y, p.num_classes)
    ours, theirs = stretches(p)
    pixels, other = (raw.numpy().astype(float) / 255 for raw in (p.raw_x, p.reference_raw_x))
    costs, gradients = np.empty((4, 3)), {}
    for i, rows in enumerate(ours):
        for j, columns in enumerate(theirs):
            labels = by_formula.w[np.ix_(p.y[rows], p.reference_y[columns])] / 2
            seen = squares(pixels[rows], other[columns]) + labels
            ends = ot.unif(len(rows)), ot.unif(len(columns))
            plan = ot.sinkhorn(*ends, seen / seen.max(), 0.1, stopThr=1e-14)
            of_features = squares(by_formula.x[rows], by_formula.other_x[columns]) + labels
            costs[i, j] = (plan * of_features).sum() / (len(rows) + len(columns))
            gradients[i, j] = by_formula.pair(rows, columns)[0]
    outer = ot.sinkhorn(ot.unif(4), ot.unif(3), costs / costs.max(), 1e-2, method="sinkhorn_log", stopThr=1e-12)
    wanted = np.empty(120)
    for i, rows in enumerate(ours):
        wanted[rows] = -sum(4 * outer[i, j] * gradients[i, j] for j in range(3))
    method = SAVA(outer="released", **SIZES)
    values = valued(method, p)
    np.testing.assert_allclose(method.found["costs"], costs, rtol=1e-9)
    np.testing.assert_allclose(values, wanted, rtol=1e-7, atol=1e-7)
    assert np.abs(valued(SAVA(**SIZES), p).numpy() - wanted).max() > 1e-3


def test_scaling_gives_the_plan_of_pot():
    cost = torch.rand(30, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = ot.sinkhorn(ot.unif(30), ot.unif(17), cost.numpy(), 0.1, stopThr=1e-14)
    np.testing.assert_allclose(scaled(cost, 0.1), wanted, atol=1e-12)


def test_costs_read_the_pixels_and_the_white_is_one():
    p = pictures()
    first, other = SAVA(outer="released", **SIZES), SAVA(outer="released", **SIZES)
    valued(first, p)
    valued(other, pictures(6))
    assert not torch.allclose(first.found["costs"], other.found["costs"])
    floats = replace(p, raw_x=p.raw_x.float(), reference_raw_x=p.reference_raw_x.float())
    as_float = SAVA(outer="released", **SIZES)
    assert torch.equal(valued(as_float, floats), first.values())
    black = replace(p, raw_x=torch.zeros_like(p.raw_x), reference_raw_x=torch.zeros_like(p.reference_raw_x))
    assert valued(SAVA(outer="released", label_weight=0.0, **SIZES), black).isfinite().all()


@pytest.mark.parametrize("distances", ["global", "first_pair", "per_pair"])
def test_a_resumed_run_has_the_same_values_bit_for_bit(distances):
    p, keys = pictures(), {"outer": "released", "label_distances": distances, **SIZES}
    whole, first, second = SAVA(**keys), SAVA(**keys), SAVA(**keys)
    values = valued(whole, p)
    assert first.begin(p) == 4
    first.advance(0)
    first.advance(1)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    second.begin(p)
    second.load_state_dict(state)
    second.advance(2)
    second.advance(3)
    assert torch.equal(second.values(), values)
    assert values.isfinite().all()


def test_points_without_pixels_are_one_line():
    p = problem()
    with pytest.raises(ValueError, match=r"^outer = released: .* these points are features"):
        SAVA(outer="released").begin(p)
    with pytest.raises(ValueError, match=r"^sava_values: outer = released: "):
        sava_values(p.x, p.y, p.reference_x, p.reference_y, outer="released")
