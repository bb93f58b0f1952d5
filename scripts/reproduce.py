"""Run what one claim needs and say its verdict: `make reproduce PAPER=ssvr CLAIM=rate-ssvr [SCALE=mini]`.

A claim needs all registered runs of its experiment. What is done is skipped, so it may be stopped with Ctrl-C and started again; no report
is written (`make report` does). Exit codes: 0; 1 a run crashed; 2 bad input; 130 and 143 stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, allowed_list, nearest
from bench.judge.claims import judge_all
from bench.judge.gather import collect
from bench.judge.papers import Claim, Paper, choose, load_papers
from bench.judge.plan import counts, plan
from bench.judge.reproduce import committed_verdicts, reproduce
from bench.report.why import why
from bench.run.cli import one_line
from bench.run.parser import Parser
from bench.run.resolvers import auto_scale


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="a file of conf/paper")
    parser.add_argument("--claim", help="a claim or audit of that file")
    parser.add_argument("--scale", help="one of the claim's scales; default: paper with a GPU, else mini")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for every run, as results_root=DIR hardware=cpu")
    return parser.parse_intermixed_args()


def chosen(papers: dict[str, Paper], paper: str | None, claim: str | None) -> Claim:
    """The claim.

    Raises:
        UserError: there is no such paper or claim.
    """
    if not paper or not claim:
        raise UserError("say which: make reproduce PAPER=ssvr CLAIM=rate-ssvr; the paper's page names its claims")
    (content,) = choose(papers, paper).values()
    known = {name: found for name, found, _ in content.judged()}
    if claim not in known:
        raise UserError(
            f"claim = '{claim}': {paper} has none of this name; allowed: {allowed_list(known)}{nearest(claim, known)}"
        )
    return known[claim]


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    papers = load_papers()
    claim = chosen(papers, args.paper, args.claim)
    scale = args.scale or next((s for s in (auto_scale(),) if s in claim.scales), claim.scales[0])
    if scale not in claim.scales:
        hint = nearest(scale, claim.scales)
        raise UserError(f"--scale {scale}: {args.claim} is decided at {' and '.join(claim.scales)} scale{hint}")

    def runs():
        return plan([claim.experiment], scale, args.overrides)

    planned = runs()
    states = ", ".join(f"{n} {state}" for state, n in counts(planned).items() if n)
    print(f"{args.paper}/{args.claim}: {claim.says}", flush=True)
    print(f"needs {claim.experiment} at {scale} scale: {states}", flush=True)
    done = reproduce(
        planned, scale, args.overrides, after_each=lambda: None, report=lambda line: print(line, flush=True)
    )
    if done.stopped is not None:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 128 + done.stopped
    for name, code in done.failures.items():
        print(
            f"failed: {name} (exit code {code}); python run.py experiment={name} scale={scale} says more",
            file=sys.stderr,
        )
    judged = judge_all({args.paper: papers[args.paper]}, collect(runs()), [scale])
    (found,) = (j for j in judged if j.name == args.claim)
    print(f"{found.verdict.verdict}: {why(found)} ({found.standing.word})")
    before = committed_verdicts([args.paper]).get((args.paper, args.claim, scale))
    print(f"in the committed results: {before or 'not judged at this scale'}")
    return 1 if done.failures else 0


if __name__ == "__main__":
    sys.exit(main())
