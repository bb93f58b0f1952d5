"""Register experiments before they are judged: `python scripts/register.py [--paper ssvr] [--dry-run] [experiment ...]`.

A line for each experiment whose claims' checks, jobs or number of seeds are not the registered ones is added to conf/registry.jsonl; the
seeds that judge it follow from that line. Commit the file, then run. Pilots use other seeds: `results_root=results/pilots seeds=[0,1,2]`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, allowed_list, nearest
from bench.judge.papers import check_decidable, choose, load_papers
from bench.judge.plan import jobs
from bench.judge.registration import register
from bench.judge.selftest import check_named
from bench.report.publish import check_registry
from bench.run.cli import one_line
from bench.run.parser import Parser
from bench.run.paths import ROOT


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="one paper; default: all")
    parser.add_argument("--dry-run", action="store_true", help="say what would be registered and write nothing")
    parser.add_argument("experiments", nargs="*", help="as ssvr/cifar10; default: every one that a claim speaks of")
    args = parser.parse_args()
    check_registry(ROOT / "results")
    papers = choose(load_papers(), args.paper)
    check_decidable(papers, jobs)
    for name, paper in papers.items():
        check_named(name, paper)
    known = list(dict.fromkeys(claim.experiment for paper in papers.values() for _, claim, _ in paper.judged()))
    for name in args.experiments:
        if name not in known:
            raise UserError(f"{name}: no claim speaks of it; allowed: {allowed_list(known)}{nearest(name, known)}")
    said = register(papers, jobs, args.experiments or known, write=not args.dry_run)
    for line in said:
        print(line)
    if not said:
        print("nothing to register: every check stands in conf/registry.jsonl as it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
