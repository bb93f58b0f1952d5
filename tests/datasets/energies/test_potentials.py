"""Wells, barriers and a parabola where they should be."""

from __future__ import annotations

import numpy as np

from datasets.energies.potentials import Cosine


def test_values_at_wells_barriers_and_beside():
    u = Cosine(amplitude=3.0, frequency=2.0, confinement=0.5).energy(np.array([0.0, 0.25, 0.5, 0.125, -0.25]))
    np.testing.assert_allclose(u, [-3, 3 + 0.5 / 16, -3 + 0.5 / 4, 0.5 / 64, 3 + 0.5 / 16], atol=1e-14)


def test_no_amplitude_is_flat():
    assert np.ptp(Cosine(amplitude=0.0).energy(np.linspace(-3, 3, 50))) == 0
