"""Write a paper, a method, a data set or a task that runs, for you to fill in: `python scripts/new.py method lion`.

What is written is small and complete: config, code, and tests that are green. `grep -rn "FILL IN"` shows what is yours to say. Nothing that exists is
written over.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, allowed_list, nearest
from bench.judge.words import not_a_name
from bench.run.cli import one_line
from bench.run.options import options
from bench.run.parser import Parser
from bench.run.paths import ROOT

SKELETONS = ROOT / "scripts/skeletons"
KINDS = ("paper", "method", "dataset", "task")
# Tests that name every method or task: the line that is added to them, behind which.
LISTED = {
    "method": [("tests/outside.py", "SUBJECTS = (", '    "NAME",')],
    "task": [
        ("tests/outside.py", "SUBJECTS = (", '    "NAME_mean",'),
        ("tests/tasks/test_leaks.py", "NOTHING_HELD_OUT = {", '    "NAME": "FILL IN: why, or a case below",'),
        ("tests/tasks/test_seed_alone.py", "CASES = {", '    "NAME": [("method=NAME_mean", "dataset=NAME_stream")],'),
    ],
}
NEXT = {
    "paper": (
        "python scripts/reproduce_all.py --dry-run --paper NAME",
        "python scripts/selftest.py --paper NAME results_root=/tmp/pilot",
        "docs/claims.md says when to register",
    ),
    "method": ("python run.py -m method=NAME,sgd dataset=digits", "python -m pytest tests/methods/test_NAME.py"),
    "dataset": ("python run.py method=ssvr dataset=NAME", "python -m pytest tests/datasets/test_NAME.py"),
    "task": ("python run.py method=NAME_mean dataset=NAME_stream", "python -m pytest tests/tasks/test_NAME.py"),
}


def texts(kind: str, name: str) -> dict[Path, str]:
    """The skeleton's files by their path in the project."""
    folder = SKELETONS / kind
    found = {}
    for path in sorted(p for p in folder.rglob("*.*") if p.suffix in (".py", ".yaml")):
        place = ROOT / _named(str(path.relative_to(folder)), name)
        found[place] = _named(path.read_text(encoding="utf-8"), name)
    return found


def _named(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("NAME", name).replace("TITLE", title)


def listed(kind: str, name: str) -> dict[Path, str]:
    """Tests that name every one of the kind, with a line more."""
    found = {}
    for file, behind, line in LISTED.get(kind, []):
        path = ROOT / file
        if path.exists():
            text = path.read_text(encoding="utf-8")
            start = next(own for own in text.splitlines() if own.startswith(behind))
            found[path] = text.replace(f"{start}\n", f"{start}\n{_named(line, name)}\n", 1)
    return found


def check(kind: str, name: str, made: Mapping[Path, str]) -> None:
    """Is it a name, and is it free?

    Raises:
        UserError: it is not.
    """
    if kind not in KINDS:
        raise UserError(f"{kind}: unknown; allowed: {allowed_list(KINDS)}{nearest(kind, KINDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or not_a_name(name):
        raise UserError(
            f"{name!r}: is no name of a Python module; expected small letters, digits and '_', a letter first"
        )
    same = [p for path in made if path.name.startswith("test_") for p in ROOT.glob(f"tests/**/{path.name}")]
    found = [*same, *(p for path in made for p in (path, path.with_suffix("")) if p.exists())]
    taken = [path.relative_to(ROOT).as_posix() for path in found]
    if name in options(kind) or taken:
        raise UserError(f"{kind} '{name}': there is one already ({(taken or [f'conf/{kind}/{name}.yaml'])[0]})")


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", help="|".join(KINDS))
    parser.add_argument("name", help="small letters, digits and '_'")
    args = parser.parse_args()
    made = texts(args.kind, args.name)
    check(args.kind, args.name, made)
    more = listed(args.kind, args.name)
    for path, text in {**made, **more}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}{'  (a line more)' if path in more else ''}")
    print("then:", *(_named(line, args.name) for line in NEXT[args.kind]), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
