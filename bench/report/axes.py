"""One axis for all claims that measure the same quantity of an experiment: values, intervals and accepted bands lie one below the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from bench.judge.parts import Part
from bench.report.digits import needed, written

DECADES = 30.0  # a positive axis whose ends are further apart than this factor is logarithmic
HUGE = 1e5  # from here on ticks are written as 5e5
REACH = 1.0  # how far beyond estimates and bands an interval's end may stretch the axis, in their own widths
LINE, DOT = 12, 5  # height of a part that is drawn as a line, and as a dot


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; places on it are 0 to 100."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Where a value lies; one beyond an end lies at that end."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        if self.log:
            value = math.log10(value) if value > 0 else -math.inf
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """(place, label) of a few round values."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            step = max(1, -(-(last - first + 1) // 4))
            values = [10.0**k for k in range(first, last + 1, step)]
            return [(self.place(v), f"{v:g}") for v in values]
        values = [v for v in MaxNLocator(4).tick_values(self.low, self.high) if self.low <= v <= self.high]
        if self.high >= HUGE:
            return [(self.place(v), f"{v:.4g}".replace("e+0", "e")) for v in values]
        places = max((needed(v) for v in values), default=0)
        return [(self.place(v), written(v, places)) for v in map(float, values)]


def axis_of(parts: Iterable[Part]) -> Axis | None:
    """The axis that shows all parts; None where they have no finite number."""
    parts = list(parts)
    core = [v for p in parts for v in (p.interval.estimate, *p.accept) if math.isfinite(v)]
    if not core:
        return None
    ends = [v for p in parts for v in (p.interval.low, p.interval.high) if math.isfinite(v)]
    low, high = min(core), max(core)
    if min([low, *ends]) > 0 and max([high, *ends]) > DECADES * min([low, *ends]):
        low, high = min([low, *ends]), max([high, *ends])
        return Axis(low / (high / low) ** 0.08, high * (high / low) ** 0.08, True)
    reach = REACH * (high - low)
    if reach:
        ends = [min(max(v, low - reach), high + reach) for v in ends]
    low, high = min([low, *ends]), max([high, *ends])
    margin = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    return Axis(low - margin, high + margin, False)


@dataclass(frozen=True)
class Drawing:
    """Paths of a claim's parts on its axis: accepted bands, intervals, those without an end, estimates, targets; its height."""

    bands: str
    lines: str
    open: str
    dots: str
    height: int
    grid: str


def drawing(parts: Sequence[Part], axis: Axis, most: int) -> Drawing:
    """A line for each part; of more than `most` parts a dot plot, still with its bands and intervals, in less height."""
    step = LINE if len(parts) <= most else DOT
    bands, lines, loose, dots = (list[str]() for _ in range(4))
    for k, part in enumerate(parts):
        top, middle, bottom = step * k, step * k + step / 2, step * (k + 1)
        low, high = (axis.place(end) for end in part.accept)
        bands.append(f"M{low:g} {top}H{high:g}V{bottom}H{low:g}Z")
        ends = part.interval.low, part.interval.high
        if not any(map(math.isnan, ends)) and part.interval.how != "exact":
            into = lines if all(map(math.isfinite, ends)) else loose
            into.append(f"M{axis.place(ends[0]):g} {middle:g}H{axis.place(ends[1]):g}")
        if not math.isnan(part.interval.estimate):
            dots.append(f"M{axis.place(part.interval.estimate):g} {middle - step / 3:.3g}v{step / 1.5:.3g}")
    height = step * len(parts)
    grid = "".join(f"M{at:g} 0V{height}" for at, _ in axis.ticks())
    return Drawing("".join(bands), "".join(lines), "".join(loose), "".join(dots), height, grid)
