"""LAVA, SAVA and batch-wise LAVA against a numpy reference; what each of their classic mistakes changes; resumption; batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from reference.transport_values import Reference
from torch import Tensor
from transport_points import gaussians, problem, valued

import mistakes.sava as planted
from bench.errors import UserError
from bench.tasks.valuation.protocol import Problem
from methods.valuation.batches import batches, ordered, unlike
from methods.valuation.costs import label_distances
from methods.valuation.lava import LAVA
from methods.valuation.sava import SAVA, BatchwiseLAVA
from methods.valuation.transport import calibrated

SIZES = {"batch_size": 30, "reference_batch_size": 20}
METHODS = {
    "lava": LAVA,
    "lava streamed": lambda: LAVA(stream=True),
    "sava": lambda: SAVA(**SIZES),
    "batch-wise": lambda: BatchwiseLAVA(**SIZES),
}


@cache
def reference() -> Reference:
    p = problem()
    return Reference(p.x, p.y, p.reference_x, p.reference_y, p.num_classes)


def stretches_of(p: Problem) -> tuple[list, list]:
    sides = ((p.y, 30, 1), (p.reference_y, 20, 2))
    first, second = ([b.numpy() for b in batches(ordered(y, "stratified", 0, k), n)] for y, n, k in sides)
    return first, second


@cache
def wanted(name: str) -> np.ndarray:
    if name.startswith("lava"):
        return -reference().pair(slice(None), slice(None))[0]
    stretches, references = stretches_of(problem())
    assert (len(stretches), len(references)) == (4, 3)
    return (
        reference().batchwise(stretches, references)
        if name == "batch-wise"
        else reference().sava(stretches, references)
    )


def agrees(name: str) -> None:
    found = valued(METHODS[name](), problem())
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), wanted(name), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_values_are_the_reference_s(name):
    agrees(name)


@pytest.mark.parametrize("mistake", planted.MISTAKES, ids=lambda m: m.name)
def test_a_planted_mistake_gives_other_values(mistake):
    with mistake.plant(), pytest.raises(AssertionError):
        agrees("sava")


def detected(p: Problem, wrong: Tensor, method, plant: AbstractContextManager | None = None) -> float:
    """ROC-AUC of the wrong labels among low values."""
    with plant or nullcontext():
        values = valued(method, p)
    low, high = values[wrong], values[~wrong]
    return float((low[:, None] < high).double().mean())


def test_wrong_labels_have_low_values_unless_batches_are_sorted():
    x, y, wrong = gaussians(400, 5, 0, 0.2)
    other_x, other_y, _ = gaussians(200, 5, 1)
    p = Problem(x, y, other_x, other_y, 5)
    assert detected(p, wrong, LAVA()) > 0.9
    assert detected(p, wrong, SAVA(batch_size=200)) > 0.9
    assert detected(p, wrong, SAVA(batch_size=100), planted.unshuffled()) < 0.5
    assert detected(p, wrong, SAVA(batch_size=200), planted.sign_flipped()) < 0.1
    assert detected(p, wrong, LAVA(label_weight=0.0)) < 0.7


def test_one_batch_of_each_side_is_lava():
    p = problem()
    one = valued(SAVA(batch_size=500, order="as_given"), p)
    assert torch.equal(one, valued(LAVA(), p))
    torch.testing.assert_close(valued(SAVA(batch_size=500), p), one)
    torch.testing.assert_close(valued(BatchwiseLAVA(batch_size=500, squash="mean"), p), one)


def test_gradients_sum_to_nothing_and_are_those_of_the_others_mean():
    f = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    found = calibrated(f)
    torch.testing.assert_close(found.sum(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1, 2], (f[1, 2] - f[1, [0, 1, 3, 4, 5, 6]].mean()).double())
    assert calibrated(f[:, :1]).tolist() == [[0], [0], [0]]
    assert float(valued(LAVA(), problem()).sum()) == pytest.approx(0, abs=1e-8)


def test_lava_does_not_depend_on_the_order():
    p = problem()
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    other = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    mixed = replace(p, x=p.x[order], y=p.y[order], reference_x=p.reference_x[other], reference_y=p.reference_y[other])
    torch.testing.assert_close(valued(LAVA(), mixed), valued(LAVA(), p)[order])


def test_a_shift_of_all_features_changes_nothing():
    p = problem()
    far = replace(p, x=(p.x + 300).float(), reference_x=(p.reference_x + 300).float())
    torch.testing.assert_close(valued(SAVA(**SIZES), far), valued(SAVA(**SIZES), p), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SAVA(**SIZES),
        lambda: SAVA(outer="uniform", **SIZES),
        lambda: SAVA(label_distances="per_pair", **SIZES),
        lambda: SAVA(label_distances="first_pair", **SIZES),
        lambda: BatchwiseLAVA(**SIZES),
    ],
)
def test_a_resumed_run_has_the_same_values_bit_for_bit(make):
    p, whole, first, second = problem(), make(), make(), make()
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


def test_a_uniform_plan_is_the_mean_over_reference_batches():
    p = problem()
    stretches, references = stretches_of(p)
    values = np.empty(120)
    for rows in stretches:
        values[rows] = -np.mean([reference().pair(rows, columns)[0] for columns in references], axis=0)
    np.testing.assert_allclose(valued(SAVA(outer="uniform", **SIZES), p).numpy(), values, atol=1e-7)
    np.testing.assert_allclose(valued(BatchwiseLAVA(squash="mean", **SIZES), p).numpy(), values, atol=1e-7)


def test_distances_of_the_first_pair_are_kept_and_filled_up():
    p = problem(classes=4)
    order = torch.argsort(p.y, stable=True)  # the first batch lacks classes
    p = replace(p, x=p.x[order], y=p.y[order])
    method = SAVA(label_distances="first_pair", order="as_given", **SIZES)
    assert valued(method, p).isfinite().all()
    first = label_distances(*(p.x[:30], p.y[:30], p.reference_x[:17], p.reference_y[:17], 4), schedule=None)
    known = ~first.isnan()
    assert 0 < int(known.sum()) < 16
    kept, everywhere = method.distances(3, 2), SAVA(**SIZES)
    everywhere.begin(p)
    torch.testing.assert_close(kept[~known], everywhere.all_distances()[~known])
    assert not torch.allclose(kept[known], everywhere.all_distances()[known])
    assert "a training batch are" in method.notice


def test_batches_are_near_equal_and_have_the_whole_s_classes():
    y = torch.tensor([0] * 700 + [1] * 200 + [2] * 101)
    order = ordered(y, "stratified", 0, 1)
    assert torch.equal(order.sort().values, torch.arange(1001))
    stretches = batches(order, 100)
    assert {len(s) for s in stretches} == {91}
    for where in stretches:
        assert torch.bincount(y[where], minlength=3).tolist() == pytest.approx([63.6, 18.2, 9.2], abs=2.01)
    assert not torch.equal(order, ordered(y, "stratified", 1, 1))
    assert not torch.equal(order, ordered(y, "stratified", 0, 2))
    assert unlike(y, stretches, 3) is None
    assert torch.equal(ordered(y, "as_given", 0, 1), torch.arange(1001))
    assert unlike(y, batches(torch.arange(1001), 100), 3) > 0.5
    assert unlike(y, batches(torch.randperm(1001, generator=torch.Generator().manual_seed(0)), 100), 3) is None


def test_a_run_that_does_not_settle_says_so():
    method = LAVA(schedule="converged", tolerance=1e-9, max_updates=2)
    assert valued(method, problem()).isfinite().all()
    assert "not met after" in method.notice


def test_a_list_of_eps_is_taken_as_it_is():
    p = problem()
    method = LAVA(schedule=[100.0, 10.0, 1.0])
    found = valued(method, p)
    assert method.used.eps == (100, 10, 1)
    assert not torch.allclose(found, valued(LAVA(), p))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"schedule": []}, "at least one eps"),
        ({"feature_weight": 0.0, "label_weight": 0.0}, "every cost would be 0"),
        ({"backend": "flash", "schedule": "converged"}, "use backend=torch"),
    ],
)
def test_keys_that_do_not_fit(keys, said):
    with pytest.raises(ValueError, match=said):
        SAVA(**keys)


def test_the_cuda_backend_is_one_line_elsewhere():
    with pytest.raises(UserError, match="runs on a CUDA device, not on cpu"):
        LAVA(backend="flash").begin(problem())
