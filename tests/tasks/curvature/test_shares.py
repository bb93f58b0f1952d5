"""The share of the map that is not convex: nothing of a conjugate likelihood, a third of ten Bernoulli data, nothing in (m, sigma)."""

from __future__ import annotations

import pytest
from conftest import final


@pytest.mark.parametrize(
    ("method", "likelihood", "share"),
    [
        ("expectation", "normal", 0.0),
        ("expectation", "bernoulli", 1885 / 5751),  # points, by Gauss-Legendre quadrature of the closed form
        ("mean_scale", "bernoulli", 0.0),
    ],
)
def test_share_of_the_map_that_is_not_convex(method, likelihood, share, go):
    data = ["dataset=repeated_datum", f"dataset.likelihood={likelihood}", "dataset.copies=10"]
    (found,) = final(go(f"method={method}", *data, "seeds=[0]"))
    assert found["share_nonconvex"] == pytest.approx(share, abs=1e-3)
