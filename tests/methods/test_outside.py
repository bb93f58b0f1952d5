"""Every baseline against something that was not written here: torch.optim, scikit-learn, scipy, the OLPS toolbox, a closed form."""

from __future__ import annotations

import pytest
from outside import REFERENCES, SUBJECTS

from bench.run.options import options


def test_every_method_is_a_paper_s_subject_or_a_baseline_with_a_reference():
    assert {*REFERENCES, *SUBJECTS} == set(options("method"))
    assert not set(REFERENCES) & set(SUBJECTS)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_baseline_is_what_others_compute(name):
    REFERENCES[name]()
