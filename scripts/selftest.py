"""Plant each paper's classic mistakes and see that its claims notice: `make selftest [PAPER=ssvr]`.

Exit codes: 0 every mistake turns at least one claim to "not reproduced"; 1 one does not; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench.judge.papers import load_papers
from bench.judge.plan import results_root
from bench.judge.selftest import Finding, selftest
from bench.run.cli import one_line


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--paper", help="one paper; default: all")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for every run, as seeds=[0,1,2,3,4] hardware=cpu")
    args = parser.parse_intermixed_args()
    overrides = [o for o in args.overrides if not o.startswith("results_root=")]
    found: list[tuple[str, Finding]] = []
    for name, paper in load_papers(args.paper).items():
        for finding in selftest(name, paper, results_root(args.overrides) / "selftest" / name, overrides):
            found.append((name, finding))
            word = "noticed" if finding.noticed else "NOT NOTICED"
            print(f"{name}/{finding.name}: {word}", file=sys.stderr)
    table = Table(pad_edge=False)
    for column in ("paper", "mistake planted", "claims that turn to not reproduced", "of those reproduced without it"):
        table.add_column(column, overflow="fold")
    for name, f in found:
        table.add_row(name, f.says, ", ".join(f.noticed) or "[red]none[/]", str(len(f.reproduced)))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0 if all(f.noticed for _, f in found) else 1


if __name__ == "__main__":
    sys.exit(main())
