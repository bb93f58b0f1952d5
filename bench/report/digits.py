"""How many digits a number is shown with: as many as its interval or its tolerance tells apart, and the same for all that stand beside it."""

from __future__ import annotations

import math

from bench.judge.parts import Part
from bench.judge.statistics import Interval

MOST = 12  # decimals


def decimals(interval: Interval, accept: tuple[float, float] = (-math.inf, math.inf)) -> int | None:
    """Decimals at which the interval is at least two units wide, the estimate has two digits, and no end is taken for a border of what is
    accepted; None where the interval's ends tell nothing.
    """
    width = interval.high - interval.low
    if not (math.isfinite(width) and width > 0):
        return None
    places = math.ceil(-math.log10(width / 2))
    if interval.estimate and math.isfinite(interval.estimate):
        places = max(places, 1 - math.floor(math.log10(abs(interval.estimate))))
    places = min(MOST, max(0, places))
    pairs = [(end, border) for end in (interval.low, interval.high) for border in accept if end != border]
    while places < MOST and any(round(end, places) == border for end, border in pairs):
        places += 1
    return places


def needed(value: float, within: float | None = None) -> int:
    """The fewest decimals that write a number up to `within`; by default a thousandth of itself."""
    within = 1e-3 * abs(value) if within is None else within
    return next((d for d in range(MOST) if abs(round(value, d) - value) <= within), MOST)


def written(value: float, places: int | None) -> str:
    """A number with so many decimals; None: four significant digits. Tiny and huge ones as 1.2e-7, infinite ones in words."""
    value += 0.0  # -0 is 0
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if places is None:
        places = 0 if value == int(value) else max(0, 3 - size)
    if size < -4 or size >= 6:
        digits = min(5, max(0, places + size))
        base, _, exponent = f"{value:.{digits}e}".partition("e")
        return f"{base}e{int(exponent)}"
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text


def estimate_text(interval: Interval, places: int | None = None) -> str:
    """`-0.329 [-0.330, -0.328]`; the estimate alone where nothing is random; of an interval without ends `0.41 [no end, 0.50]`."""
    places = decimals(interval) if places is None else places
    value = written(interval.estimate, places)
    if math.isnan(interval.low) or interval.how == "exact":
        return value
    ends = (written(end, places) if math.isfinite(end) else "no end" for end in (interval.low, interval.high))
    return f"{value} [{', '.join(ends)}]"


def accepted_text(part: Part) -> str:
    """What a part accepts: `[-0.40, -0.29]`, `above 0`, `at most 0.5`, of an identity `every run`."""
    if part.law == "every":
        return "every run"
    if part.bound:
        return part.bound
    low, high = part.accept
    places = max(needed(end, 0.01 * (high - low)) for end in part.accept)
    return f"[{written(low, places)}, {written(high, places)}]"


def target_text(part: Part, places: int | None) -> tuple[str, str]:
    """(`0.034 +- 0.0034`, ours with equal digits) of a number to be met within a tolerance."""
    low, high = part.accept
    target, margin = (float(f"{v:.10g}") for v in ((low + high) / 2, (high - low) / 2))
    both = max(places or 0, needed(target, 0.02 * margin))
    if not places and part.interval.estimate != int(part.interval.estimate):
        both = max(both, needed(part.interval.estimate, 0.02 * margin))
    return f"{written(target, both)} \u00b1 {written(margin, max(both, needed(margin)))}", estimate_text(
        part.interval, both
    )
