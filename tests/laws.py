"""The law of a target on a domain of the plane, by quadrature: a second of work, which most runs of sampling ask for alike.

In a process of tests it is worked out once for the same target, domain and temperature, as long as no code that it comes from is patched.
"""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import replace
from functools import wraps
from typing import Any

CODE = ("bench.tasks.sampling", "datasets.energies")


def keep_laws() -> None:
    """For this process, and for those that are forked from it: Reference.of remembers."""
    from torch import Tensor

    from bench.tasks.sampling.density import Reference

    work = Reference.of.__func__  # type: ignore[attr-defined]
    known: dict[tuple[bytes, tuple[int, ...]], tuple[Reference, list[Any]]] = {}

    @wraps(work)
    def of(cls, energy, domain, window, modes, temperature):
        try:
            asked = _content((energy.__self__, energy.__name__, domain, window, modes, temperature))
        except (AttributeError, TypeError, pickle.PicklingError):  # a function of its own
            return work(cls, energy, domain, window, modes, temperature)
        code = _code()
        key = asked, tuple(map(id, code))
        if key not in known:
            known[key] = work(cls, energy, domain, window, modes, temperature), code
        found = known[key][0]
        copies = {name: value.clone() for name, value in vars(found).items() if isinstance(value, Tensor)}
        return replace(found, **copies)

    Reference.of = classmethod(of)  # type: ignore[method-assign, assignment]


class _Plain(pickle.Pickler):
    """Tensors by their numbers."""

    def reducer_override(self, value: Any) -> Any:
        from torch import Tensor

        if isinstance(value, Tensor):
            return tuple, ((str(value.dtype), tuple(value.shape), value.detach().cpu().numpy().tobytes()),)
        return NotImplemented


def _content(value: Any) -> bytes:
    packed = io.BytesIO()
    _Plain(packed).dump(value)
    return packed.getvalue()


def _code() -> list[Any]:
    """What the modules that a law comes from hold, and their classes: where one is patched it is another object."""
    modules = [module for name, module in sys.modules.items() if name.startswith(CODE)]
    held = [value for module in modules for value in vars(module).values()]
    return held + [value for one in held if isinstance(one, type) for value in vars(one).values()]
