"""Keep house among the runs on disk: `python scripts/runs.py list|compare|plot|clean ... [results_root=DIR]`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml
from rich.console import Console

from bench.errors import UserError
from bench.judge.own import STATES
from bench.judge.plan import results_root
from bench.report.own import Selection, check, find, print_list, select, size, size_text
from bench.run.cli import one_line
from bench.run.parser import Parser

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
RUN = "a job: its folder, or a part of its name that no other has (64a8d88ea98c, ssvr-digits)"


def seconds(text: str) -> float:
    """30m, 12h, 7d or 2w in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no age; write 30m, 12h, 7d or 2w")
    return float(found[1]) * UNITS[found[2]]


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line; `results_root=DIR` may stand anywhere."""
    parser = Parser(prog="scripts/runs.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|compare|plot|clean")
    listed = commands.add_parser("list", help="the jobs on disk: what was set, state, age, size")
    compared = commands.add_parser("compare", help="two jobs side by side, differences paired by seed")
    plotted = commands.add_parser("plot", help="curves of jobs as a figure: medians over seeds with a band")
    cleaned = commands.add_parser(
        "clean",
        help="delete runs, and temporary files of processes that are gone (without a filter these alone)",
    )
    for sub, states in ((listed, STATES), (cleaned, [s for s in STATES if s != "running"])):
        sub.add_argument("--task")
        sub.add_argument("--method")
        sub.add_argument("--dataset")
        sub.add_argument("--state", choices=states)
        sub.add_argument("--older", type=seconds, metavar="AGE", help="last changed longer ago than 30m, 12h, 7d, 2w")
        sub.add_argument("--newer", type=seconds, metavar="AGE", help="last changed within")
        sub.add_argument("--stale", action="store_true", help="those whose result other code than today's computed")
    cleaned.add_argument("--yes", action="store_true", help="delete without asking")
    compared.add_argument("runs", nargs=2, metavar="RUN", help=RUN)
    plotted.add_argument("runs", nargs="+", metavar="RUN", help=RUN)
    plotted.add_argument("--metric", help="a column of the curves (default: the task's first)")
    plotted.add_argument("--over", choices=("step", "epoch", "gradient_evaluations"), default="step")
    plotted.add_argument("--log", choices=("x", "y", "xy"), default="", help="logarithmic axes")
    plotted.add_argument("--at", action="append", default=[], metavar="COLUMN=VALUE", help="rows with this value alone")
    plotted.add_argument("--out", type=Path, metavar="FILE.svg|png|pdf")
    plotted.add_argument("--force", action="store_true", help="overwrite a file that something else wrote")
    args = parser.parse_args([word for word in given if not word.startswith("results_root=")])
    args.root = results_root(given)
    return args


def warn(line: str) -> None:
    """A line for the person, on stderr."""
    print(line, file=sys.stderr, flush=True)


def selection(args: argparse.Namespace) -> Selection:
    """The filters of list and clean."""
    return Selection(args.task, args.method, args.dataset, args.state, args.older, args.newer, args.stale)


def show(args: argparse.Namespace, screen: Console) -> int:
    """The jobs that the filters select."""
    jobs = select(args.root, selection(args), warn)
    if jobs:
        print_list(jobs, screen)
    else:
        print(
            f"no runs below {args.root / 'runs'}"
            + (" that the filters select" if selection(args) != Selection() else "")
        )
    return 0


def compare(args: argparse.Namespace, screen: Console) -> int:
    """Two jobs."""
    from bench.report import comparison

    a, b = (find(args.root, text, warn) for text in args.runs)
    if a.folder.resolve() == b.folder.resolve():
        raise UserError(f"{args.runs[0]} and {args.runs[1]} are the same job; compare takes two")
    found = comparison.compare(a, b)
    comparison.print_comparison(found, screen)
    for line in found.warnings:
        warn(f"warning: {line}")
    return 0


def plot(args: argparse.Namespace, screen: Console) -> int:
    """Their curves."""
    from bench.report.curves import Plot, draw

    jobs = {job.key: job for job in (find(args.root, text, warn) for text in args.runs)}
    at = dict(map(_pair, args.at))
    out, said = draw(list(jobs.values()), Plot(args.metric, args.over, args.log, at), args.out, args.force, warn)
    screen.print(f"{out}: {said}", soft_wrap=True, highlight=False, markup=False)
    return 0


def _pair(text: str) -> tuple[str, Any]:
    name, equal, value = text.partition("=")
    if not name or not equal:
        raise UserError(f"--at {text}: write COLUMN=VALUE, as --at cost=0.001")
    try:
        return name, float(value)
    except ValueError:
        return name, yaml.safe_load(value)


def clean(args: argparse.Namespace, screen: Console) -> int:
    """What would go, and with --yes or a typed y its end."""
    from bench.report.cleaning import Remover, confirmed, leftovers

    check(args.root)
    wanted = selection(args)
    jobs = select(args.root, wanted, warn) if wanted != Selection() else []
    files = list(leftovers(args.root))
    if jobs:
        print_list(jobs, screen)
    for folder in (job.folder for job in jobs if job.get("method.secure")):
        print(
            f"{folder}: secure releases cannot be made again; copy what you need, as model.zip and ledger.jsonl, first"
        )
    for path in files:
        print(f"{path}: {size_text(path.lstat().st_size)}, left by a process that is gone")
    if not jobs and not files:
        print(f"nothing to delete below {args.root / 'runs'}")
        return 0
    runs = sum(len(job.runs) for job in jobs)
    total = sum(size(run.folder) for job in jobs for run in job.runs) + sum(path.lstat().st_size for path in files)
    what = f"{runs} runs and {len(files)} temporary files, {size_text(total)}"
    if not args.yes and not (sys.stdin.isatty() and confirmed(f"delete {what}?", input)):
        print(f"{what}: nothing was deleted; --yes deletes them")
        return 0
    remover, failed, gone, freed = Remover(args.root, wanted, warn), False, 0, 0
    for job in jobs:
        try:
            gone += remover.job(job)
        except OSError as error:
            warn(f"{error.filename or job.folder}: kept, {error.strerror}")
            failed = True
    freed = sum(remover.file(path) for path in files)
    print(f"deleted {gone} runs and {freed} temporary files")
    return 1 if failed else 0


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments(sys.argv[1:])
    screen = Console(width=None if sys.stdout.isatty() else 150)
    return {"list": show, "compare": compare, "plot": plot, "clean": clean}[args.command](args, screen)


if __name__ == "__main__":
    sys.exit(main())
