"""A law that is kept is the one that would be worked out anew, and code that is patched has another."""

from __future__ import annotations

from dataclasses import astuple
from inspect import unwrap

import pytest
import torch
from laws import keep_laws

from bench.tasks.sampling import density
from bench.tasks.sampling.density import Reference
from datasets.energies.multimodal import Multimodal


def worked_out(*arguments) -> Reference:
    """Without a memory."""
    return unwrap(Reference.of.__func__)(Reference, *arguments)


@pytest.fixture
def asked(monkeypatch) -> list[float]:
    """Temperatures that a law was worked out for, with a memory of its own."""
    found, work = [], unwrap(Reference.of.__func__)

    def of(cls, *arguments):
        found.append(arguments[-1])
        return work(cls, *arguments)

    monkeypatch.setattr(Reference, "of", classmethod(of))
    keep_laws()
    return found


def law(temperature: float = 1.0, domain: str = "box") -> Reference:
    target = Multimodal(domain=domain)
    return Reference.of(target.energy, target.domain, target.window, target.modes, temperature)


def same(one: Reference, other: Reference) -> bool:
    return all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(astuple(one), astuple(other)))


def test_a_law_is_worked_out_once_and_handed_out_in_copies(asked):
    target = Multimodal(domain="box")
    anew = worked_out(target.energy, target.domain, target.window, target.modes, 1.0)
    assert same(law(), anew)
    law().fine.zero_()
    assert same(law(), anew)
    assert not same(law(2.0), anew)
    assert asked == [1.0, 1.0, 2.0], "once by itself, and once for each that was asked for"


def test_patched_code_has_another_law(asked, monkeypatch):
    right, energy = law(), Multimodal.energy
    monkeypatch.setattr(Multimodal, "energy", lambda self, x: 2 * energy(self, x))
    assert not same(law(), right)
    assert not same(law(0.5), right)
    monkeypatch.setattr(Multimodal, "energy", energy)
    monkeypatch.setattr(density, "POINTS", 4)
    assert not same(law(), right)
    monkeypatch.undo()
    assert asked == [1.0, 1.0, 0.5, 1.0]
