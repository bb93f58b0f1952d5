"""Pickles that hold lists, dictionaries, texts, numbers and arrays of bytes, read without running anything that they name."""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np


class Forbidden(pickle.UnpicklingError):
    """The pickle names something that is no array."""


class _Array:
    """What a pickle says of an array or of a dtype: arguments and state, kept as they are."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """The uint8 array. Raises ValueError or TypeError where it is none."""
        _, shape, kind, fortran, raw = self.state
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if kind.arguments[0] != "u1" or math.prod(shape) != len(data):
            raise ValueError("no array of bytes")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Call:
    """A name that a pickle may call: it has no attributes to set."""

    __slots__ = ()


class _Make(_Call):
    def __call__(self, *arguments: Any) -> _Array:
        return _Array(*arguments)


class _Encode(_Call):
    def __call__(self, text: str, encoding: str) -> bytes:
        return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Make(),
    ("numpy._core.multiarray", "_reconstruct"): _Make(),
    ("numpy", "dtype"): _Make(),
    ("numpy", "ndarray"): None,
    ("_codecs", "encode"): _Encode(),
}


class _Reader(pickle._Unpickler):  # in Python: a hostile memo index costs no memory
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Forbidden(f"it is a pickle that names {module}.{name}, which no data needs; nothing was run")
        return ALLOWED[module, name]


def load(content: bytes) -> dict[Any, Any]:
    """The dictionary, with the uint8 arrays among its values as arrays; of Python 2 as of Python 3.

    Raises:
        ValueError: no pickle, a damaged one, or one that names anything but arrays of bytes.
    """
    try:
        found = _Reader(io.BytesIO(content), encoding="latin1").load()
        return {k: v.array() if isinstance(v, _Array) else v for k, v in found.items()}
    except Forbidden as error:
        raise ValueError(str(error)[:300]) from None
    except Exception:  # a damaged pickle raises whatever its opcodes lead to
        raise ValueError("not a whole pickle of arrays, lists and texts") from None
