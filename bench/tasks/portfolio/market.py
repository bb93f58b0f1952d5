"""The container in which a data set hands over a series of price relatives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Market:
    """Price relatives x_t = p_t / p_{t-1}, [T, m] float64, all positive; names of the m assets; T dates and periods a year where they are
    known; `about`, what was found in a user's file, for the terminal."""

    relatives: Tensor
    assets: tuple[str, ...]
    dates: tuple[str, ...] | None = None
    periods_per_year: int | None = None
    about: str | None = None
