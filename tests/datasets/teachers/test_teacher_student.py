"""Two-layer teachers: unit rows, angles, signs, and what a seed shares between problems."""

from __future__ import annotations

import pytest
import torch

from datasets.teachers.teacher_student import teacher_student


@pytest.mark.parametrize(("neurons", "dim", "limit"), [(3, 10, 0.6), (5, 20, 0.6), (2, 2, 0.2)])
def test_rows_are_unit_and_no_two_are_closer_than_allowed(neurons, dim, limit):
    found = teacher_student("", range(20), neurons=neurons, dim=dim, max_cosine=limit)
    assert found.units.shape == (20, neurons, dim)
    assert found.dim == dim
    cosines = found.units @ found.units.mT - torch.eye(neurons, dtype=torch.float64)
    assert cosines.diagonal(dim1=1, dim2=2).abs().max() < 1e-12
    assert 0.5 * limit < cosines.abs().max() <= limit
    assert len({tuple(rows.flatten().tolist()) for rows in found.units}) == 20


def test_signs():
    assert teacher_student("", [0], neurons=4).weights.tolist() == [[1, -1, 1, -1]]
    assert teacher_student("", [0, 1], signs="positive").weights.tolist() == [[1, 1, 1]] * 2
    assert teacher_student("", [0], signs=[-1, -1, 1]).weights.tolist() == [[-1, -1, 1]]


def test_a_seed_s_teacher_depends_on_neither_company_nor_dimension():
    alone, together = teacher_student("", [5]), teacher_student("", [4, 5, 6], dim=30)
    assert torch.equal(alone.units[0], together.units[1, :, :10])
    assert together.units[..., 3:].abs().max() == 0


def test_without_mixing_teachers_are_orthogonal_and_the_span_is_theirs():
    found = teacher_student("", [0], mixing=0.0, dim=5)
    assert torch.equal(found.units[0], torch.eye(3, 5, dtype=torch.float64))
    span = teacher_student("", [1], dim=5).span()
    torch.testing.assert_close(span @ span.mT, torch.eye(3, dtype=torch.float64)[None])
    assert span[..., 3:].abs().max() < 1e-12


def test_angles_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"max_cosine = 0\.001: no 5 teachers at such angles in 10,000 draws"):
        teacher_student("", [0], neurons=5, max_cosine=0.001)
