"""Can each claim fail? Plants each paper's classic mistakes, puts baselines in a method's place, and sees which claims turn: `make selftest [PAPER=ssvr]`.

What was seen goes to results/selftest/<paper>.csv, which the paper's page shows. Exit codes: 0 every claim was turned to "not reproduced" by
all that it names, and by something, and every mistake turned a claim; 1 not so; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from bench.judge.papers import choose, load_papers
from bench.judge.plan import results_root
from bench.judge.selftest import Finding, check_named, mistakes, selftest
from bench.report.noticed import noticed, write
from bench.report.terminal import selftest_table
from bench.run.cli import one_line
from bench.run.parser import Parser


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="one paper; default: all")
    parser.add_argument(
        "overrides", nargs="*", help="Hydra overrides for every run, as seeds=[0,1,2,3,4,5] hardware=cpu"
    )
    args = parser.parse_intermixed_args()
    root, overrides = results_root(args.overrides), [o for o in args.overrides if not o.startswith("results_root=")]
    screen = Console(width=None if sys.stdout.isatty() else 120)
    sound = True
    papers = choose(load_papers(), args.paper)
    for name, paper in papers.items():
        check_named(name, paper)
    for name, paper in papers.items():
        print(
            f"{name}: {len(mistakes(name))} mistakes to plant; runs without them come first, where they are not done",
            file=sys.stderr,
        )
        findings: list[Finding] = []
        for finding in selftest(name, paper, root / "selftest" / name, overrides):
            findings.append(finding)
            said = f"turned {', '.join(finding.noticed)}" if finding.noticed else "TURNED NOTHING"
            print(f"{name}: {finding.name}: {said}", file=sys.stderr)
        found = noticed(paper, findings)
        screen.print(selftest_table(name, found))
        write(root, name, paper, findings)
        sound &= all(claim.sound for claim in found) and all(f.noticed or not f.reproduced for f in findings)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
