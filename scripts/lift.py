"""Copy a method's file, and the files of this repository that it imports, into another folder: `python scripts/lift.py ssvr ../mine`.

They keep their paths, so that `from methods.sign.ssvr import SSVR` works there; what else they import is printed. Imports for type checkers alone are
left out. A file that is there already and differs is left as it is, and nothing is copied.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, nearest
from bench.run.cli import one_line
from bench.run.options import options, read_yaml
from bench.run.parser import Parser
from bench.run.paths import CONF, ROOT
from bench.run.signature import own_file


def imported(path: Path) -> Iterator[str]:
    """Names of what a file imports when it runs: modules, and what may be one."""
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        typing_only = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        todo += node.orelse if typing_only else ast.iter_child_nodes(node)


def needed(module: str) -> tuple[list[Path], list[str]]:
    """Files of this repository that a module needs, and the packages that they import beside Python's own."""
    seen: set[Path] = set()
    outside: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = own_file(name)
        if path is None:
            outside.add(name.split(".")[0])
        elif path not in seen:
            seen.add(path)
            todo += imported(path)
    return sorted(seen), sorted(outside - set(sys.stdlib_module_names) - {p.name for p in ROOT.iterdir()})


def lift(module: str, target: Path) -> list[Path]:
    """Copy what a module needs below `target`; returns the paths in it.

    Raises:
        UserError: a file is there already and is another one.
    """
    copies = {path: target / path.relative_to(ROOT) for path in needed(module)[0]}
    for path, copy in copies.items():
        if copy.exists() and copy.read_bytes() != path.read_bytes():
            raise UserError(f"{copy}: is there and differs; nothing was copied")
    for path, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return [path.relative_to(ROOT) for path in copies]


@one_line
def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("method", help="a file of conf/method")
    parser.add_argument("folder", type=Path, help="where to")
    args = parser.parse_args()
    if args.method not in options("method"):
        raise UserError(f"method = '{args.method}': unknown{nearest(args.method, options('method'))}")
    module, _, name = read_yaml(CONF / f"method/{args.method}.yaml")["_target_"].rpartition(".")
    if own_file(module) is None:
        raise UserError(f"method '{args.method}' is {module}.{name}, which you have with its library")
    for path in lift(module, args.folder):
        print(args.folder / path)
    print(f"from {module} import {name}  # needs {', '.join(needed(module)[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
