"""A person's own energy on a domain of their own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from bench.errors import UserError, allowed_list, in_one_line
from bench.tasks.sampling.curved import SHAPES
from bench.tasks.sampling.domains import Ball, Box, Domain, Polygon
from bench.types import DottedName, NonNegativeFloat
from datasets.energies.multimodal import NormalEstimates
from datasets.reading import contents

FORMS = (
    "a list of vertices [[x, y], ...], the path of a CSV of them, {box: [[low, ...], [high, ...]]}, {ball: [[centre, ...], radius]}, "
    f"or a shape and its radius, as {{flower: 2.0}}: {allowed_list(SHAPES)}"
)


class OwnEnergy(NormalEstimates):
    """U of a person's own on a domain of their own; its gradient by automatic differentiation.

    Args:
        root: not used; a path is relative to the current directory.
        domain: a list of vertices [[x, y], ...] of a polygon in order; the path of a CSV of them, with or without a header; {box: [low, high]}
            or {ball: [centre, radius]} with d coordinates each; or a named shape and its radius, {flower: 2.0}.
        energy: the dotted name of a function U(x) -> [n] of points x [n, d], float64, made of torch operations.
        begin: where the chains start, d numbers; None: the domain's centre.
        modes: points whose surroundings are counted, [[x, y], ...]; None: none.
        gradient_noise, energy_noise: standard deviations of normal noise that is added to the estimates.

    Raises:
        ValueError: a domain, a function or a start that does not fit; what was found, and what to write instead.
    """

    window = None
    coefficients = None

    def __init__(
        self,
        root: str,
        *,
        domain: list[list[float]] | str | dict[str, float | list] | None,
        energy: DottedName | None,
        begin: list[float] | None = None,
        modes: list[list[float]] | None = None,
        gradient_noise: NonNegativeFloat = 0.0,
        energy_noise: NonNegativeFloat = 0.0,
    ) -> None:
        if energy is None:
            raise ValueError("energy = None: the dotted name of a function U(x) -> [n] of points x [n, d]")
        self.domain = domain_of(domain)
        super().__init__(self.domain.dim, gradient_noise, energy_noise)
        self._name, self._function = energy, function_of(energy)
        self._start = self.domain.centre if begin is None else self._point("begin", begin)
        if not self.domain.inside(self._start):
            raise ValueError(f"begin = {self._start.tolist()}: not inside the domain")
        self.modes = None if not modes else torch.stack([self._point("modes", mode) for mode in modes])
        self._check()

    def _point(self, key: str, values: list[float]) -> Tensor:
        if len(values) != self.dim:
            raise ValueError(f"{key} = {values}: {self.dim} coordinates in this domain")
        return torch.tensor(values, dtype=torch.float64)

    def _check(self) -> None:
        """Does the function take points and give an energy each, by itself, the same again, finite, and a gradient?"""
        shifts = torch.linspace(0, 1e-3, self.dim + 2, dtype=torch.float64)[:, None]
        x = self._start + shifts * (self.domain.high - self.domain.low)
        value = self.energy(x)
        for point, one in zip(x, value):
            if not torch.allclose(self.energy(point[None])[0], one, rtol=1e-9, atol=1e-12, equal_nan=True):
                self._refuse(
                    f"gives another value of the point {point.tolist()} by itself than among others; each row is a point, and nothing is drawn"
                )
        try:
            slope = self.gradient(x)
        except RuntimeError as error:
            self._refuse(f"has no gradient ({in_one_line(error)}); of a constant, write 0 * x[..., 0]")
        if not value[0].isfinite() or not slope[0].isfinite().all():
            self._refuse(f"has no finite value and gradient at the start {self._start.tolist()}")

    def _refuse(self, reason: str) -> NoReturn:
        raise ValueError(f"energy = '{self._name}': {reason}")

    def start(self) -> Tensor:
        """Where all chains start, [d]."""
        return self._start

    def energy(self, x: Tensor) -> Tensor:
        points = x.reshape(-1, self.dim)
        try:
            value = self._function(points)
        except Exception as error:
            raise UserError(f"dataset.energy = '{self._name}': {type(error).__name__}: {in_one_line(error)}") from error
        if not isinstance(value, Tensor) or value.shape != (len(points),):
            found = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"dataset.energy = '{self._name}': gives {found} for points of shape {list(points.shape)}; a tensor [{len(points)}] is expected"
            )
        return value.double().reshape(x.shape[:-1])

    def gradient(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(self.energy(x).sum(), x)
        return g


def function_of(name: str) -> Callable[[Tensor], Tensor]:
    """The function of a dotted name.

    Raises:
        ValueError: there is none.
    """
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None)
    if not callable(found):
        raise ValueError(f"energy = '{name}': no function '{attribute}' in {module}")
    return found


def domain_of(value: list[list[float]] | str | dict[str, Any] | None) -> Domain:
    """The domain that a config describes.

    Raises:
        ValueError: it describes none.
    """
    if isinstance(value, str):
        return Polygon(vertices_of(value))
    if isinstance(value, list) and all(isinstance(v, list) and len(v) == 2 for v in value):
        return Polygon(torch.tensor(value, dtype=torch.float64))
    if isinstance(value, dict) and len(value) == 1:
        ((kind, parts),) = value.items()
        if kind in ("box", "ball") and isinstance(parts, list) and len(parts) == 2:
            return _box(parts) if kind == "box" else _ball(parts)
        if kind in SHAPES and _number(parts) and parts > 0:
            return SHAPES[kind][0](float(parts))
    raise ValueError(f"domain = {value}: {FORMS}")


def _box(ends: list[Any]) -> Box:
    low, high = ends
    if not (_numbers(low) and _numbers(high) and len(low) == len(high)) or any(a >= b for a, b in zip(low, high)):
        raise ValueError(f"domain.box = {ends}: two lists of as many numbers, each low below its high")
    return Box(torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64))


def _ball(parts: list[Any]) -> Ball:
    centre, radius = parts
    if not _numbers(centre) or not _number(radius) or radius <= 0:
        raise ValueError(f"domain.ball = {parts}: a list of numbers, the centre, and a radius above 0")
    return Ball(torch.tensor(centre, dtype=torch.float64), float(radius))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_number, value))


def vertices_of(path: str) -> Tensor:
    """Vertices [n, 2] of a CSV of two columns, in order along the boundary; a first row of names is passed over.

    Raises:
        UserError: no such file, or a row that is no two numbers.
    """
    if not Path(path).is_file():
        raise UserError(f"domain = '{path}': no such file; {FORMS}")
    try:
        text = contents(Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"domain = '{path}': not UTF-8 ({error.reason} at byte {error.start})") from None
    found: list[list[float]] = []
    header = False
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        if not any(cell.strip() for cell in row):
            continue
        try:
            x, y = map(float, row)
        except ValueError:
            if not found and not header and not any(map(_reads, row)):
                header = True
                continue
            raise UserError(f"domain = '{path}', line {number}: {row}; two numbers, x and y, are expected") from None
        found.append([x, y])
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 2)


def _reads(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
