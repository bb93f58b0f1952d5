"""Finished runs as one file, and back: `python scripts/archive.py export runs.xz [--paper ssvr] [--method ssvr] [results_root=DIR]` where
they were computed, `python scripts/archive.py import runs.xz` here, then `make report`.

An import is refused, and nothing written, if a run's key, code or data are not those of this project.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError
from bench.judge.papers import choose
from bench.judge.plan import experiments, jobs, results_root
from bench.judge.travel import bring_in, export
from bench.run.cli import one_line
from bench.run.options import SCALES, options
from bench.run.parser import Parser
from bench.run.paths import ROOT

FOLDERS = ("results_root", "data_root")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["export", "import"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--paper", help="export: the runs of its experiments")
    parser.add_argument("--method", help="export: its runs")
    parser.add_argument("--dataset", help="export: runs on it")
    parser.add_argument("overrides", nargs="*", help="results_root=DIR data_root=DIR")
    return parser.parse_intermixed_args()


def chosen(args: argparse.Namespace) -> Any:
    """Does a result belong to what was asked for?"""
    keys = None
    if args.paper is not None:
        names = [name for paper in choose(options("paper"), args.paper) for name in experiments(paper)]
        keys = {job.key for scale in SCALES for name in names for job in jobs(name, scale)}
    return lambda result: (
        (keys is None or result["key"] in keys)
        and args.method in (None, result["method"])
        and args.dataset in (None, result["dataset"])
    )


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    for text in args.overrides:
        if text.partition("=")[0] not in FOLDERS:
            raise UserError(
                f"{text}: unknown; allowed: {', '.join(f'{name}=DIR' for name in FOLDERS)}, and what --help says"
            )
    root = results_root(args.overrides)
    say = lambda line: print(line, file=sys.stderr)  # noqa: E731
    if args.what == "export":
        print(f"{args.file}: {export(root, chosen(args), args.file, say)} runs")
        return 0
    given = [o.partition("=")[2] for o in args.overrides if o.startswith("data_root=")]
    data_root = Path(given[0] if given else os.environ.get("CLAIMBENCH_DATA", ROOT / "data"))
    came, known = bring_in(root, args.file, data_root, say)
    print(f"{came} runs imported into {root / 'runs'}, {known} were there already; `make report` takes them in")
    return 0


if __name__ == "__main__":
    sys.exit(main())
