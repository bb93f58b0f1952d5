"""Masks of least energy: against all masks of small grids, and against each other on larger ones."""

from __future__ import annotations

import itertools

import pytest
import torch

from methods.mixing.masks import Problem, cut, energy, icm, lowest


def problem(n: int, b: int, levels: int, smooth: float = 0.3) -> Problem:
    g = torch.Generator().manual_seed(b + 10 * levels)
    shapes = ((n, levels, b, b), (n, b, b - 1), (n, b - 1, b))
    unary, across, down = (torch.rand(*shape, generator=g, dtype=torch.float64) for shape in shapes)
    return Problem(unary, smooth * across, smooth * down)


def by_hand(p: Problem, i: int, levels: torch.Tensor) -> float:
    """The energy of one mask, block by block."""
    b, m = levels.shape[0], p.unary.shape[1] - 1
    total = sum(float(p.unary[i, levels[r, c], r, c]) for r in range(b) for c in range(b))
    z = levels.double() / m
    total += sum(float(p.across[i, r, c] * (z[r, c] - z[r, c + 1]) ** 2) for r in range(b) for c in range(b - 1))
    return total + sum(float(p.down[i, r, c] * (z[r, c] - z[r + 1, c]) ** 2) for r in range(b - 1) for c in range(b))


@pytest.mark.parametrize(("b", "levels"), [(2, 2), (2, 3), (2, 5), (3, 2), (3, 3)])
@pytest.mark.parametrize("smooth", [0.3, 3.0])
def test_the_cut_has_the_least_energy_of_all_masks(b, levels, smooth):
    p = problem(5, b, levels, smooth)
    found = cut(p)
    everything = torch.tensor(list(itertools.product(range(levels), repeat=b * b))).view(-1, b, b)
    for i in range(5):
        one = Problem(
            *(
                part[i : i + 1].expand(len(everything), -1, -1, *(-1,) * (part.dim() - 3))
                for part in (p.unary, p.across, p.down)
            )
        )
        energies = energy(one, everything)
        assert by_hand(p, i, everything[7]) == pytest.approx(float(energies[7]))
        assert by_hand(p, i, found[i]) == pytest.approx(float(energies.min()), abs=1e-5)


def test_icm_ends_where_no_block_alone_can_do_better_and_not_below_the_cut():
    p = problem(20, 6, 3)
    ends, least = icm(p), energy(p, cut(p))
    assert (energy(p, ends) >= least - 1e-5).all()
    assert (energy(p, ends) <= energy(p, p.unary.argmin(1)) + 1e-12).all()
    assert float((energy(p, ends) - least).mean()) < 0.02 * float(least.mean())
    for r, c, level in itertools.product(range(6), range(6), range(3)):
        other = ends.clone()
        other[:, r, c] = level
        assert (energy(p, other) >= energy(p, ends) - 1e-12).all()


def test_without_smoothness_each_block_is_on_its_own():
    p = problem(4, 4, 3, smooth=0.0)
    assert torch.equal(cut(p), p.unary.argmin(1))
    assert torch.equal(icm(p), p.unary.argmin(1))


def test_the_lowest_level_is_argmin_s_and_of_equal_ones_the_first():
    g = torch.Generator().manual_seed(0)
    cost = torch.randint(4, (50, 5, 3, 7), generator=g).float()
    assert torch.equal(lowest(cost), torch.from_numpy(cost.numpy().argmin(1)))
    assert lowest(torch.zeros(2, 3, 1, 1)).eq(0).all()
