"""Why a verdict is what it is, as one sentence: the estimand, its estimate and interval, what is accepted, the test, its level, the runs."""

from __future__ import annotations

import math

from bench.judge.claims import Judged
from bench.judge.parts import Part
from bench.report.digits import accepted_text, decimals, estimate_text, target_text
from bench.report.wording import spoken

TESTS = {
    "median": "order-statistic test",
    "share": "Clopper-Pearson test",
    "centre of a symmetric law": "sign-flip test",
}
LAWS = {
    "median": "median",
    "mean": "mean",
    "log_mean": "geometric mean",
    "share": "share of runs",
    "every": "share of runs",
}
SAYS = {"reproduced": "lies inside", "not reproduced": "lies outside", "inconclusive": "reaches over a border of"}


def noun(judged: Judged, part: Part) -> str:
    """What a part's number is: a slope, a difference or a ratio of two groups; nothing where it is the metric itself."""
    if judged.claim.check.kind == "slope":
        return "slope" if " minus that of " not in part.label else "difference of slopes"
    if part.law in ("share", "every"):
        return ""
    if " minus " in part.label:
        return "difference"
    return "ratio" if " over " in part.label.removeprefix("minimum over").removeprefix("maximum over") else ""


def why(judged: Judged) -> str:
    """The sentence."""
    v = judged.verdict
    if not v.parts:
        return spoken(v.reason, judged.task)
    part, several = v.parts[0], len(v.parts) > 1
    lead = ""
    if several:
        lead = f"all {len(v.parts)} parts hold, among them " if v.verdict == "reproduced" else ""
        lead += f"{spoken(part.label, judged.task)}: "
    if part.law == "every":
        return lead + _every(judged)
    what = " ".join(filter(None, (LAWS[part.law], noun(judged, part))))
    said = f"{lead}{what} {numbers(judged, part)[1]} {SAYS[v.verdict]} {accepted(part)}; {_test(part)}{_more(judged)}"
    return "; ".join([said, *(spoken(note, judged.task) for note in v.notes)])


def _every(judged: Judged) -> str:
    """Of an identity, which one run refutes."""
    equals = getattr(judged.claim.check, "equals", None)
    what = "agree" if isinstance(equals, dict) else f"equal {equals:g}"
    said = judged.verdict.reason.replace(" runs within ", f" runs {what} within ")
    return f"{said}; one run that does not refutes it" if judged.verdict.verdict == "not reproduced" else said


def accepted(part: Part) -> str:
    """`[-0.40, -0.29]`, `what is accepted, above 0`"""
    text = accepted_text(part)
    return text if text.startswith("[") else f"what is accepted, {text}"


def numbers(judged: Judged, part: Part) -> tuple[str, str]:
    """(published with its tolerance, ours) with equal digits; the first is empty where no number is to be met."""
    low, high = part.accept
    if part.law == "every":
        return "", f"{round(part.interval.estimate * part.interval.n)} of {part.interval.n} runs"
    meets = judged.claim.check.kind == "value" and not isinstance(getattr(judged.claim.check, "target", None), dict)
    if meets and math.isfinite(low) and math.isfinite(high):
        return target_text(part, decimals(part.interval, part.accept))
    return "", estimate_text(part.interval, decimals(part.interval, part.accept))


def _test(part: Part) -> str:
    interval = part.interval
    runs = f"{interval.n} run{'s' * (interval.n != 1)}"
    if interval.how == "exact":
        return f"exact, {runs} agree"
    name = TESTS.get(interval.how.removeprefix("geometric "), "betting test of the mean")
    return f"{name} at {100 * interval.level:.4g} %, {runs}"


def _more(judged: Judged) -> str:
    """How many runs would tell, for the verdict that the effect points to."""
    v, interval = judged.verdict, judged.verdict.parts[0].interval
    if v.verdict != "inconclusive":
        return ""
    if not math.isfinite(interval.low) and not math.isfinite(interval.high):
        return "; so few runs cannot decide, or too many of them diverged"
    if v.planner is None:
        return ""
    runs = f"{v.planner.needed or 'over 1000'} runs{' of another attempt' if v.planner.again else ''}"
    return f"; {runs} would show {'it' if v.planner.towards == 'reproduced' else 'the opposite'} with 80 % probability"
