"""Where a training loop waits for its device: numbers that the host reads, and shapes that depend on values.

On a GPU each such place lets the device run empty. They are seen as torch's operations, so that they can be counted on a CPU too: what is read there
for nothing counts as if it had to be fetched. So a count on a CPU is an upper bound: tensors that stay on the CPU beside a GPU are counted with the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.run.paths import ROOT

OPERATIONS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "equal",
)
READS = (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__)
HERE = "bench/judge/"


@dataclass
class Step:
    """Places ("file:line what") at which one step of a loop waited, and whether it logged a row."""

    places: Counter[str] = field(default_factory=Counter)
    logged: bool = False


class Watch:
    """Stands where a run's progress display stands, and counts by step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._now = Step()

    def start(self, total: int, first: int = 0) -> None:
        """The loop begins; what was before is not counted."""
        self._now = Step()

    def step(self, step: int) -> None:
        """A step has ended; what its rows read still comes."""
        self.steps.append(self._now)
        self._now = Step()

    def note(self, step: int, **figures: Any) -> None:
        """Figures of a row."""
        self.row()

    def stop(self) -> None:
        """Nothing is shown."""

    def row(self, *_: Any) -> None:
        """A row was logged: by the step under way, or by the one before it."""
        self._now.logged = True

    def wait(self, what: str) -> None:
        """Something waited."""
        self._now.places[f"{_place()} {what}"] += 1

    def whole(self) -> Counter[str]:
        """The places of the whole loop, rows and all."""
        return sum((step.places for step in [*self.steps, self._now]), Counter())

    def within_steps(self) -> Counter[str] | None:
        """The places of the step that waited most, out of those that logged nothing, the first two left out: they make state.

        None where each step logs a row.
        """
        plain = [s.places for s in self.steps[2:] if not s.logged]
        return max(plain, key=lambda places: places.total()) if plain else None


class _Operations(TorchDispatchMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in OPERATIONS:
            self._watch.wait(name)
        elif name in ("index", "index_put", "index_put_", "_unsafe_index") and any(map(_is_mask, args[1])):
            self._watch.wait("index by a mask")
        elif name in ("_to_copy", "copy_") and _leaves(args, kwargs or {}):
            self._watch.wait("copy to the host")
        return func(*args, **(kwargs or {}))


class _Reads(TorchFunctionMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            self._watch.wait(func.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(watch: Watch) -> Iterator[None]:
    """Inside, what waits is told to `watch`."""
    with _Operations(watch), _Reads(watch):
        yield


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _leaves(args: Any, kwargs: dict[str, Any]) -> bool:
    """Does a copy go from a device to the host?"""
    tensors = [one for one in args if isinstance(one, Tensor)]
    if not tensors:
        return False
    source = tensors[-1].device.type
    target = tensors[0].device.type if len(tensors) > 1 else torch.device(kwargs.get("device") or source).type
    return source != "cpu" and target == "cpu"


def _place() -> str:
    """`file:line` of the innermost frame of this repository that is not here."""
    frame: FrameType | None = sys._getframe(2)
    root = f"{ROOT}/"
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(root) and "/.venv/" not in name and not name.removeprefix(root).startswith(HERE):
            return f"{name.removeprefix(root)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
