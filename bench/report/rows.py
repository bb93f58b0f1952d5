"""What a page shows of each claim: one row with its numbers on an axis that it shares with claims of the same quantity, and what opens below."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bench.judge.checks import Check
from bench.judge.claims import Judged
from bench.judge.papers import Claim
from bench.judge.parts import Part
from bench.report import tables
from bench.report.axes import Axis, axis_of, drawing
from bench.report.digits import accepted_text, estimate_text
from bench.report.glossary import Glossary
from bench.report.why import LAWS, numbers, why
from bench.report.wording import protocol_in_words, spoken
from bench.run.notes import note
from bench.run.options import task_of_experiment

ONCE = "once"  # the page's word, beside the scales, for each claim at the fullest protocol that has a verdict
LISTED = 5  # parts of a claim beyond which they are a dot plot


def quantity(claim: Claim) -> str:
    """What the claims of a group measure: `slope of mean gradient norm, l1, over iterations T`."""
    metrics, check = note(task_of_experiment(claim.experiment)).metrics, claim.check
    label = metrics[check.metric].label
    over = getattr(check, "over", None) if check.kind == "slope" else None
    if over is not None:
        label += f", over {metrics[over].label if over in metrics else over.rpartition('.')[2].replace('_', ' ')}"
    return f"{_of(check)}{label}"


def _of(check: Check) -> str:
    if check.kind == "value":
        return "" if not isinstance(check.target, dict) else "ratio of " if check.relative else "difference of "
    if check.kind == "better":
        return "difference of " if check.factor is None else "ratio of "
    return {"slope": "log-log slope of ", "ordering": "difference of ", "bound": ""}.get(check.kind, "share of runs, ")


def row(judged: Judged, counted: bool, place: str, seen: tables.Seen, words: Glossary) -> dict[str, Any]:
    """What the page shows of a claim at one protocol, but for its drawing."""
    claim, verdict = judged.claim, judged.verdict
    marked: set[str] = set()
    scale = judged.scale.replace(" ", "-")
    part = verdict.parts[0] if verdict.parts else None
    said, ours = numbers(judged, part) if part else ("", "")
    return {
        "name": judged.name,
        "id": judged.name if counted else f"{judged.name}.{scale}",
        "claim": claim,
        "audit": judged.audit,
        "at": f"{judged.scale} {ONCE}" if counted else judged.scale,
        "scale": judged.scale.split()[0],
        "tier": claim.source.tier,
        "standing": _standing(judged, place),
        "protocol": protocol_in_words(judged.protocol, judged.task),
        "verdict": verdict,
        "says": words.mark(claim.says, marked),
        "stated": words.mark(claim.stated, marked),
        "measured": words.mark(spoken(claim.measured, judged.task), marked),
        "published": said,
        "accepted": accepted_text(part) if part else "",
        "ours": ours,
        "why": words.mark(why(judged), marked),
        "parts": [_part(p, judged, words, marked) for p in verdict.parts],
        "groups": [(words.mark(spoken(g, judged.task), marked), middle(i)) for g, i in verdict.groups],
        "refuters": _refuters(judged.name, claim, seen, judged.task),
        "data": _data(verdict.parts),
    }


def _standing(judged: Judged, place: str) -> tuple[str, str]:
    """Words to filter by, and the sentence."""
    stands = judged.standing
    if not stands.registered:
        return "exploratory", f"exploratory: {stands.why}"
    more = {"open": " open", "stale": " stale", "ours": ""}.get(place, " counted")
    return f"registered{more}", f"registered, attempt {stands.attempt}, {100 * (1 - 2 * stands.side):.4g} %"


def _part(part: Part, judged: Judged, words: Glossary, marked: set[str]) -> dict[str, Any]:
    published, ours = numbers(judged, part)
    return {
        "label": words.mark(spoken(part.label, judged.task), marked),
        "ours": ours,
        "published": published,
        "accepted": accepted_text(part),
        "law": LAWS[part.law],
        "level": "exact" if part.interval.how == "exact" else f"{100 * part.interval.level:.4g} %",
        "n": part.interval.n,
    }


def _data(parts: Iterable[Part]) -> list[list[Any]]:
    """A row a part, for the claim's csv: label, estimate, low, high, accepted from and to, level, runs."""
    finite = lambda v: float(f"{v:.10g}") if math.isfinite(v) else None  # noqa: E731
    return [
        [
            p.label,
            *(finite(v) for v in (p.interval.estimate, p.interval.low, p.interval.high, *p.accept)),
            float(f"{p.interval.level:.10g}"),
            p.interval.n,
        ]
        for p in parts
    ]


def middle(interval: Any) -> str:
    """A group's median, with its interval where there is one."""
    ends = interval.low, interval.high
    return estimate_text(interval) if any(map(math.isfinite, ends)) else tables.short(interval.estimate)


def grouped(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that measure the same quantity together, in the order of their first ones, each with a drawing on the group's axis."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in rows:
        found.setdefault(quantity(one["claim"]), []).append(one)
    groups = []
    for title, members in found.items():
        axis = axis_of(part for one in members for part in one["verdict"].parts)
        for one in members:
            one |= _drawn(one, axis)
        at = " ".join(dict.fromkeys(word for one in members for word in one["at"].split()))
        groups.append({"title": title, "rows": members, "ticks": axis.ticks() if axis else [], "at": at})
    return groups


def _drawn(one: dict[str, Any], axis: Axis | None) -> dict[str, Any]:
    parts = one["verdict"].parts
    if axis is None or not parts:
        return {"drawing": None, "dots": []}
    dots = [drawing([part], axis, LISTED) for part in parts] if len(parts) > LISTED else []
    return {"drawing": drawing(parts, axis, LISTED), "dots": dots}


def _refuters(name: str, claim: Claim, seen: tables.Seen, task: str) -> list[tuple[str, str, str]]:
    """(what refutes the claim, what the self-test saw of it, the class of that)"""
    names = list(map(tables.refuter_name, claim.refuted_by))
    names += [refuter for (of, refuter), verdict in seen.items() if of == name and refuter not in names]
    found = []
    for refuter in names:
        verdict = seen.get((name, refuter), "")
        look = {"": "none", "not reproduced": "reproduced"}.get(verdict, "not-reproduced")
        said = {"": "not self-tested", "not reproduced": "seen to refute it in the self-test"}.get(
            verdict, f"self-test: {verdict}"
        )
        found.append((spoken(refuter, task), said, look))
    return found
