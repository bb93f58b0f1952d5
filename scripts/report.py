"""Judge the claims from what is on disk, write tables, figures and index.html, print the verdicts: `make report` or
`python scripts/report.py [--paper ssvr] [--check] [results_root=DIR]`.

--from-archive looks at runs.csv alone, as a reader without the raw runs would; --check writes nothing and exits 1 if a file of the report
or README's table is not what runs.csv gives.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from bench.errors import UserError
from bench.judge.archive import read_records
from bench.judge.papers import check_decidable, load_papers
from bench.judge.plan import experiments, jobs, plan
from bench.judge.reproduce import results_root
from bench.report.build import PAGE, RUNS, SCALES, outdated, print_verdicts, publish, write_report
from bench.run.cli import one_line


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="print the verdicts of one paper (the report is always about all)")
    parser.add_argument("--from-archive", action="store_true", help="from runs.csv alone")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the report is not what runs.csv gives"
    )
    parser.add_argument("overrides", nargs="*", help="results_root=DIR")
    return parser.parse_intermixed_args()


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    root, papers, chosen = results_root(args.overrides), load_papers(), load_papers(args.paper)
    if (args.from_archive or args.check) and not (root / RUNS).exists():
        raise UserError(f"{root / RUNS}: no such file; `make report` writes it from the runs")
    if args.check:
        different = outdated(root, papers)
        for name in different:
            print(f"not what {RUNS} gives: {name}; run `make report`", file=sys.stderr)
        return 1 if different else 0
    if args.from_archive:
        judged = write_report(root, papers, read_records(root / RUNS), SCALES)
    else:
        check_decidable(papers, jobs)
        names = [name for paper in papers for name in experiments(paper)]
        judged = publish(root, [run for scale in SCALES for run in plan(names, scale, args.overrides)], SCALES)
    screen = Console(width=None if sys.stdout.isatty() else 150)
    print_verdicts([j for j in judged if j.paper in chosen], screen.print)
    screen.print(str(root / PAGE), soft_wrap=True, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
