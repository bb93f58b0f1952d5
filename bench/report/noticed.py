"""What the self-test saw: of each claim, which planted mistakes and which baselines in the method's place turned it to "not reproduced"."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.judge.papers import Claim, Paper
from bench.judge.registration import digest_of
from bench.judge.selftest import SCALE, Finding
from bench.report.places import selftest_path
from bench.report.tables import csv as csv_of
from bench.report.tables import refuter_name

COLUMNS = ("claim", "check", "refuter", "verdict")


@dataclass(frozen=True)
class Noticed:
    """A claim after everything was planted. turned: what turned it. failed: what it names and what did not; the verdict by name.

    before: its verdict on the right implementation; empty where nothing was planted on its experiment.
    """

    claim: str
    turned: Sequence[str]
    failed: Mapping[str, str]
    before: str
    decided: bool

    @property
    def sound(self) -> bool:
        """Was it seen to fail, by all that it names? One that the right implementation does not reproduce has nothing to be turned from."""
        if not self.decided or self.before in ("not reproduced", "inconclusive"):
            return True
        return bool(self.turned) and not self.failed

    @property
    def why(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if not self.decided:
            return f"not decided at {SCALE} scale"
        if self.sound:
            return ""
        if not self.before:
            return "nothing was planted on its experiment"
        if self.before != "reproduced":
            return f"{self.before} on the right implementation"
        if not self.turned:
            return "nothing turned it"
        return "; ".join(f"{name}: {verdict}" for name, verdict in self.failed.items())


def noticed(paper: Paper, findings: Iterable[Finding]) -> list[Noticed]:
    """Claim by claim, in the order of the paper's file."""
    findings = list(findings)
    return [_of(key, claim, findings) for key, claim, _ in paper.judged()]


def _of(key: str, claim: Claim, findings: Sequence[Finding]) -> Noticed:
    mine = {f.name: f for f in findings if key in f.verdicts}
    turned = [name for name, f in mine.items() if key in f.noticed]
    wanted = [name for name in map(refuter_name, claim.refuted_by) if name not in turned]
    failed = {name: mine[name].verdicts[key][1] if name in mine else "not planted" for name in wanted}
    before = next((f.verdicts[key][0] for f in mine.values()), "")
    return Noticed(key, turned, failed, before, SCALE in claim.scales)


def write(root: Path, name: str, paper: Paper, findings: Iterable[Finding]) -> Path:
    """results/selftest/<paper>.csv: a row a claim, its check as it is registered, and what was planted that it names, or that turned it."""
    findings = list(findings)
    named = {key: (digest_of(claim), set(map(refuter_name, claim.refuted_by))) for key, claim, _ in paper.judged()}
    rows = [
        (key, check, f.name, f.verdicts[key][1])
        for key, (check, names) in named.items()
        for f in findings
        if key in f.reproduced and (f.name in names or key in f.noticed)
    ]
    path = root / selftest_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_of(pd.DataFrame(rows, columns=COLUMNS)), encoding="utf-8")
    return path


def read(root: Path, name: str, paper: Paper) -> dict[tuple[str, str], str]:
    """What `write` wrote of claims whose check is still the same; empty where the self-test has not run."""
    path = root / selftest_path(name)
    if not path.exists():
        return {}
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    checks = {key: digest_of(claim) for key, claim, _ in paper.judged()}
    same = [row for row in rows if set(COLUMNS) <= set(row) and checks.get(row["claim"]) == row["check"]]
    return {(row["claim"], row["refuter"]): row["verdict"] for row in same}
