"""Run every experiment of every paper (or of one) and report: `make reproduce-all [SCALE=mini] [PAPER=ssvr] [LAUNCHER=ray] [STRICT=1]`.

What is done is skipped, so it may be stopped with Ctrl-C and started again. `--dry-run` (`make plan`) says what is done, what is missing
and what the rest will cost. Exit codes: 0; 1 a run crashed, or with --strict a claim that the last commit's results call reproduced no
longer is; 2 bad input; 130 and 143 stopped. An experiment whose data are not there is left out, and named.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from bench.errors import UserError, allowed_list, nearest
from bench.judge.archive import read_all
from bench.judge.cost import elsewhere, limits, longest_first
from bench.judge.embedded import embedded, lacking
from bench.judge.papers import check_decidable, choose, idle, load_papers
from bench.judge.plan import experiments, jobs, plan, results_root
from bench.judge.reproduce import Sparingly, committed_verdicts, regressions, reproduce
from bench.judge.timing import time_missing, timings
from bench.report.places import INDEX
from bench.report.publish import SCALES as REPORTED
from bench.report.publish import Row, check_registry, publish
from bench.report.terminal import plan_table, verdict_table
from bench.run.cli import one_line
from bench.run.composition import launchers
from bench.run.multirun import at_a_time, cores_each
from bench.run.options import SCALES
from bench.run.parser import Parser
from bench.run.paths import ROOT
from bench.run.resolvers import auto_scale
from bench.run.speed import speed

DATA = ("all", "embedded")
ELSEWHERE = ("ray", "slurm")  # launchers whose jobs have cores of their own


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__.split("\n\n")[0], formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="one paper (a file of conf/paper); default: all")
    parser.add_argument(
        "--scale", help="smoke, mini or paper; default: paper with a GPU, else mini; with --dry-run: mini and paper"
    )
    parser.add_argument("--launcher", help="a Hydra launcher: joblib, ray, slurm")
    parser.add_argument(
        "--jobs",
        type=int,
        help="experiments at a time, each on its share of the cores; default: a core each, 1 with a GPU",
    )
    parser.add_argument("--data", default="all", help="embedded: leave out what needs a data folder; default: all")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a claim that was reproduced no longer is")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and run nothing")
    parser.add_argument(
        "--time", action="store_true", help="with --dry-run: time a few steps where no finished run tells the cost"
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for every run, as results_root=DIR hardware=cpu")
    return parser.parse_intermixed_args()


def check(args: argparse.Namespace) -> None:
    """Values that argparse takes.

    Raises:
        UserError: one is not allowed.
    """
    known = launchers() if args.launcher else ()
    for name, value, allowed in (
        ("scale", args.scale, SCALES),
        ("data", args.data, DATA),
        ("launcher", args.launcher, known),
    ):
        if value is not None and value not in allowed:
            raise UserError(f"--{name} {value}: allowed: {allowed_list(allowed)}{nearest(value, allowed)}")
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f"--jobs {args.jobs}: at least 1")


def tell(failures: Mapping[str, int], scale: str, overrides: Sequence[str], alone: Sequence[str]) -> bool:
    """Name what ended with another code than 0, experiments whose data are not there apart; did one fail?"""
    failed = False
    for name, code in failures.items():
        if code == 2 and (why := lacking(name, scale, overrides)):
            print(f"left out: {name}; {why}", file=sys.stderr)
        else:
            failed = True
            command = shlex.join(["python", "run.py", f"experiment={name}", *alone])
            print(f"failed: {name} (exit code {code}); {command} says more", file=sys.stderr)
    return failed


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    check(args)
    at_once = args.jobs or (1 if args.launcher else at_a_time(None, "auto"))
    everything = load_papers()
    papers = choose(everything, args.paper)
    overrides, root = args.overrides, results_root(args.overrides)
    check_registry(root)
    names = [name for paper in papers for name in experiments(paper)]
    scales = [args.scale] if args.scale else list(REPORTED) if args.dry_run else [auto_scale()]
    if args.data == "embedded":
        names = embedded(names, scales[0])
    screen = Console(width=None if sys.stdout.isatty() else 150)
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    nothing_judged = idle(everything.values())
    runs = plan(names, scales, overrides, idle=nothing_judged)
    check_decidable(papers, jobs)
    archived = elsewhere(read_all(ROOT / "results"), speed())
    timed = time_missing(root, runs, archived, say) if args.time else timings(root)
    screen.print(plan_table(runs, timed, archived))
    if args.dry_run:
        return 0
    (scale,) = scales

    latest: list[Row] = []  # the last report's verdicts; empty before the first one and after one that failed

    def report() -> list[Row]:
        latest.clear()
        shown = list(dict.fromkeys([*REPORTED, scale]))  # a run may serve several scales
        latest.extend(publish(root, everything, plan(names, shown, overrides, idle=nothing_judged), scales))
        return latest

    chosen = [f"hydra/launcher={args.launcher}"] if args.launcher else []
    alone = [f"scale={scale}", *chosen, *overrides]  # of one experiment, to try it by itself
    limited = {}
    if args.launcher == "slurm":  # an override of the person's own comes later, and holds
        told = limits(runs, timed, archived)
        limited = {name: [f"hydra.launcher.minutes={minutes}"] for name, minutes in told.items()}
    if at_once > 1 and args.launcher not in ELSEWHERE:  # what the person says comes later, and holds
        chosen += [f"hardware.threads={cores_each(at_once)}", "parallel=1"]
        runs = longest_first(runs, timed, archived)
    after_each = Sparingly(report)
    done = reproduce(
        runs,
        scale,
        [*chosen, *overrides],
        after_each=after_each,
        report=lambda line: screen.print(line, highlight=False),
        at_a_time=at_once,
        further=limited,
    )
    rows = [row for row in (report() if after_each.late or not latest else latest) if row["paper"] in papers]
    screen.print(verdict_table((row for row in rows if scale in row["scale"].split()), screen.width))
    screen.print(str(root / INDEX), soft_wrap=True, highlight=False)
    if done.stopped is not None:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 128 + done.stopped
    failed = tell(done.failures, scale, overrides, alone)
    lost = regressions(committed_verdicts(papers), rows) if args.strict else []
    for line in lost:
        print(f"strict: {line}", file=sys.stderr)
    return 1 if failed or lost else 0


if __name__ == "__main__":
    sys.exit(main())
