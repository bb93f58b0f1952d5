"""Judge a table of your own: `python scripts/judge.py runs.csv claims.yaml`; `--register claims.yaml` before the runs. See docs/judge.md.

Needs neither Hydra nor torch. Exit codes: 0 judged or registered; 2 bad input, one line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, in_one_line
from bench.judge.table import judge_files
from bench.judge.table_claims import load_sheet
from bench.judge.table_registry import register_table, registry_of
from bench.run.parser import Parser

SHEETS = (".yaml", ".yml")


def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "files", nargs="+", type=Path, help="runs.csv claims.yaml; with --register claims.yaml alone will do"
    )
    parser.add_argument(
        "--register", action="store_true", help="add the claims to <claims>.registry.jsonl and name the seeds to run"
    )
    parser.add_argument(
        "--figure", type=Path, help="where the figure goes, without svg and png; default: <runs>.verdicts"
    )
    parser.add_argument("--no-figure", action="store_true", help="write no figure")
    try:
        return _main(parser.parse_args())
    except UserError as error:
        line = str(error)
    except OSError as error:
        line = f"{error.filename}: {error.strerror}"
    print(f"error: {in_one_line(line)}", file=sys.stderr)
    return 2


def _main(args: argparse.Namespace) -> int:
    *tables, claims = args.files
    if len(tables) > 1 or not (tables or args.register):
        raise UserError("expected a table and a file of claims: scripts/judge.py runs.csv claims.yaml")
    if tables and claims.suffix not in SHEETS and tables[0].suffix in SHEETS:
        raise UserError(f"the table comes first: scripts/judge.py {claims} {tables[0]}")
    if args.register:
        _register(claims)
    if not tables:
        return 0
    verdicts = judge_files(tables[0], claims)
    print(verdicts)
    if not args.no_figure:
        from bench.report.judged_table import save

        paths = save(verdicts, args.figure or tables[0].with_suffix(".verdicts"))
        print("; ".join(map(str, paths)) or "no interval to draw")
    return 0


def _register(claims: Path) -> None:
    added, entry = register_table(load_sheet(claims), registry_of(claims))
    word = "registered" if added else "registered already"
    print(
        f"{word} in {registry_of(claims)}: {len(entry.checks)} check{'s' * (len(entry.checks) > 1)}, attempt {entry.attempt}; commit it, then run the seeds"
    )
    print(" ".join(map(str, entry.judged)))


if __name__ == "__main__":
    sys.exit(main())
