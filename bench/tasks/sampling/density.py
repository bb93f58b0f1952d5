"""How far a cloud of points is from the law exp(-U / tau) on a domain of the plane: histograms against exact cell probabilities.

Shapes: C x C cells of a square window, M modes, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.errors import UserError
from bench.tasks.sampling.domains import Domain

CELLS, COARSE = 100, 25  # a side
POINTS, RIM_POINTS = 8, 32  # quadrature points of a cell, a side; of one at the boundary
PART = 2**16  # points at a time
EPS = 2.2e-16  # what the released code adds to both densities
CORE = 0.03  # a mode with more than this probability belongs to the core
COVERED = 0.1  # a mode is covered by this share of its probability


@dataclass(frozen=True)
class Reference:
    """The law of the first chain in cells and around modes.

    Attributes:
        low, width: of the window, low [2] + [0, width]^2.
        fine, coarse: probabilities of its cells, [C, C] each; they add up to 1, as the law beyond the window is left out.
        near: the probability of the points that are nearest to each mode, [M]; None without modes.
        mean, variance: of each coordinate, [2]; square: of |x|^2 the mean, [].
    """

    low: Tensor
    width: float
    fine: Tensor
    coarse: Tensor
    modes: Tensor | None
    near: Tensor | None
    mean: Tensor
    variance: Tensor
    square: Tensor

    @classmethod
    def of(
        cls,
        energy: Callable[[Tensor], Tensor],
        domain: Domain,
        window: tuple[float, float] | None,
        modes: Tensor | None,
        temperature: float,
    ) -> Reference:
        """By the midpoint rule with POINTS^2 points in each fine cell, RIM_POINTS^2 next to the boundary."""
        low, width = _window(domain, window)
        side, square = width / CELLS, (CELLS, CELLS)
        corners = low + side * torch.cartesian_prod(*2 * [torch.arange(CELLS, dtype=torch.float64)])  # [C^2, 2]
        x = _within(corners, side, POINTS)  # [C^2, n, 2]
        inside = domain.inside(x)
        cut = (_spread(inside.any(1).view(square)) & _spread(~inside.all(1).view(square))).flatten()
        parts = [(torch.arange(CELLS**2)[~cut], x[~cut], POINTS), (cut.nonzero()[:, 0], None, RIM_POINTS)]
        cells, points, log_p = [], [], []
        for cell, known, n in parts:
            where = _within(corners[cell], side, n) if known is None else known
            held = domain.inside(where)
            cells.append(cell[:, None].expand(held.shape)[held])
            points.append(where[held])
            log_p.append(-_by_parts(energy, points[-1]) / temperature - 2 * math.log(n))
        cell, x, weight = torch.cat(cells), torch.cat(points), torch.cat(log_p)
        if not len(x):
            raise UserError(f"dataset.domain: too thin, none of {CELLS * RIM_POINTS:,}^2 points about it is inside")
        if len(wrong := (weight.isnan() | (weight == math.inf)).nonzero()):
            raise UserError(f"dataset: the energy is NaN or -inf at {x[wrong[0, 0]].tolist()}, inside the domain")
        p = (weight - weight.max()).exp()
        p = p / p.sum()
        fine = torch.zeros(CELLS**2, dtype=torch.float64).index_add_(0, cell, p).view(square)
        step = CELLS // COARSE
        coarse = fine.view(COARSE, step, COARSE, step).sum((1, 3))
        near = None
        if modes is not None:
            near = torch.zeros(len(modes), dtype=torch.float64)
            for part, share in zip(x.split(PART), p.split(PART)):
                near.index_add_(0, nearest(part, modes), share)
        mean, squares = p @ x, p @ x.square()
        return cls(low, width, fine, coarse, modes, near, mean, squares - mean.square(), squares.sum())

    def to(self, device: torch.device | str) -> Reference:
        """On a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)  # type: ignore[arg-type]


def _window(domain: Domain, window: tuple[float, float] | None) -> tuple[Tensor, float]:
    """low [2] and width of the square: the one that is named, or the least one about the middle of the domain's box."""
    if window is not None:
        return torch.full((2,), window[0], dtype=torch.float64), window[1] - window[0]
    width = float((domain.high - domain.low).max())
    return (domain.low + domain.high - width) / 2, width


def _spread(cells: Tensor) -> Tensor:
    """Cells [C, C] and their eight neighbours."""
    return torch.nn.functional.max_pool2d(cells[None].float(), 3, 1, 1)[0] > 0


def _within(corners: Tensor, side: float, n: int) -> Tensor:
    """Midpoints of n x n parts of squares with lower corners [k, 2], [k, n^2, 2]."""
    offsets = side * torch.cartesian_prod(*2 * [(torch.arange(n, dtype=torch.float64) + 0.5) / n])
    return corners[:, None] + offsets


def _by_parts(energy: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([energy(part) for part in x.split(PART)]) if len(x) else x.new_zeros(0)


def nearest(x: Tensor, modes: Tensor) -> Tensor:
    """The index of the nearest mode [...] of points [..., d]."""
    return (x[..., None, :] - modes).square().sum(-1).argmin(-1)


class Counts:
    """Histograms of the points seen so far, of each seed: all points of its replicates together.

    Attributes:
        total, outside: points, and those outside the domain, [S].
        cells: in the fine cells, [S, C * C]; inside the domain and the window alone.
        modes: nearest to each mode, [S, M]; inside the domain alone.
    """

    def __init__(self, reference: Reference | None, domain: Domain, seeds: int, device: torch.device) -> None:
        self.reference, self.domain = reference, domain
        self.total = torch.zeros(seeds, dtype=torch.int64, device=device)
        self.outside = torch.zeros_like(self.total)
        self.cells = torch.zeros(seeds, CELLS * CELLS if reference else 0, dtype=torch.int64, device=device)
        m = 0 if reference is None or reference.modes is None else len(reference.modes)
        self.modes = torch.zeros(seeds, m, dtype=torch.int64, device=device)

    def add(self, x: Tensor) -> None:
        """Points [K, S, R, d]."""
        seeds = x.shape[1]
        x = x.movedim(1, 0).flatten(1, 2)  # [S, K R, d]
        inside = self.domain.inside(x)
        self.total += x.shape[1]
        self.outside += (~inside).sum(1)
        ref = self.reference
        if ref is None:
            return
        place = ((x - ref.low) / ref.width * CELLS).floor()
        seen = inside & ((place >= 0) & (place < CELLS)).all(-1)
        index = (place[..., 0] * CELLS + place[..., 1]).nan_to_num(0).long().clamp(0, CELLS * CELLS - 1)
        self.cells += _counted(index, seen, seeds, CELLS * CELLS)
        if ref.modes is not None:
            self.modes += _counted(nearest(x, ref.modes), inside, seeds, len(ref.modes))

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("total", "outside", "cells", "modes")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        vars(self).update(state)

    def metrics(self) -> dict[str, Tensor]:
        """What the counts say, [S] each; without points nothing."""
        total = self.total.double()
        found = {"share_outside": self.outside / total}
        if self.reference is None:
            return found
        ref, cells = self.reference, self.cells.double()
        shares = cells / total[:, None]
        found["kl_grid"] = grid_divergence(ref.fine.flatten(), shares, (ref.width / (CELLS - 1)) ** 2)
        step = CELLS // COARSE
        coarse = cells.view(-1, COARSE, step, COARSE, step).sum((2, 4)).flatten(1)
        found["kl_coarse"] = smoothed_divergence(ref.coarse.flatten(), coarse, total)
        if ref.near is not None:
            modes = self.modes / total[:, None]
            found["mode_tv"] = ((modes - ref.near).abs().sum(1) + found["share_outside"]) / 2
            core = ref.near > CORE
            found["modes_covered"] = (modes >= COVERED * ref.near)[:, core].sum(1).double()
            found["modes_core"] = core.sum().double().expand(len(total))
        return found


def _counted(index: Tensor, seen: Tensor, seeds: int, size: int) -> Tensor:
    """How often each index of [S, n] occurs where `seen`, [S, size]."""
    flat = index + size * torch.arange(seeds, device=index.device)[:, None]
    return torch.bincount(flat[seen], minlength=seeds * size).view(seeds, size)


def grid_divergence(p: Tensor, q: Tensor, scale: float) -> Tensor:
    """The released code's number: scale times sum p log((p + eps) / (q + eps)); p [n], q [S, n]. Empty cells decide it."""
    return scale * (p * ((p + EPS) / (q + EPS)).log()).sum(-1)


def smoothed_divergence(p: Tensor, counts: Tensor, total: Tensor) -> Tensor:
    """KL(p || q) in nats, q = (count + 1/2) / (total + K/2) over the K cells that have any probability; counts [S, n], total [S].

    Points elsewhere are part of the total: they take probability away from these cells.
    """
    cells = p > 0
    q = (counts[:, cells] + 0.5) / (total[:, None] + cells.sum() / 2)
    return (p[cells] * (p[cells] / q).log()).sum(-1)
