"""Judge the claims from what is on disk, write tables, figures and pages, print the verdicts: `make report` or
`python scripts/report.py [--paper ssvr] [--check] [results_root=DIR]`.

A paper whose runs, claims and code have not changed is not judged again. --from-archive looks at results/archive alone, as a reader without
the raw runs would; --check writes nothing and exits 1 if a file of the report or README's table is not what the archives give.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from bench.errors import UserError
from bench.judge.archive import FOLDER, archived_papers
from bench.judge.papers import check_decidable, choose, idle, load_papers
from bench.judge.plan import experiments, jobs, plan, results_root
from bench.report.places import INDEX, page_path
from bench.report.publish import SCALES, check_registry, outdated, publish, verdicts, write_report
from bench.report.terminal import verdict_table
from bench.run.cli import one_line
from bench.run.parser import Parser


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="judge one paper and print its verdicts")
    parser.add_argument("--from-archive", action="store_true", help="from results/archive alone")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the report is not what the archives give"
    )
    parser.add_argument("overrides", nargs="*", help="results_root=DIR")
    return parser.parse_intermixed_args()


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    root, papers = results_root(args.overrides), load_papers()
    chosen = choose(papers, args.paper)
    if (args.from_archive or args.check) and not archived_papers(root):
        raise UserError(f"{root / FOLDER}: no archive of runs; `make report` writes it from the runs")
    check_registry(root)
    if args.check:
        different = outdated(root, papers)
        for name in different:
            print(f"not what {FOLDER} gives: {name}; run `make report`", file=sys.stderr)
        return 1 if different else 0
    screen = Console(width=None if sys.stdout.isatty() else 150)
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    if args.from_archive:
        write_report(root, papers, SCALES, say)
    else:
        say(f"looking at the runs of {', '.join(chosen)}")
        check_decidable(chosen, jobs)
        names = [name for paper in chosen for name in experiments(paper)]
        publish(root, papers, plan(names, SCALES, args.overrides, idle=idle(papers.values())), SCALES, say)
    screen.print(verdict_table(verdicts(root, chosen), screen.width))
    screen.print(
        str(root / (page_path(args.paper) if args.paper else INDEX)), soft_wrap=True, highlight=False, markup=False
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
