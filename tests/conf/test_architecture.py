"""The rooms of docs/architecture.md: every file has one, and imports what the table allows and nothing else."""

from __future__ import annotations

import ast
import fnmatch
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

from bench.run.options import options

TABLE = re.compile(r"^\| (\w+) \| (.*?) \| (.*?) ?\|$", re.M)
PACKAGES = ("bench", "methods", "datasets", "mistakes", "scripts", "hydra_plugins", "examples")


@cache
def rooms() -> dict[str, tuple[list[str], set[str]]]:
    """{room: (patterns of files, rooms that it may import)}, as the document says."""
    text = (ROOT / "docs/architecture.md").read_text()
    rows = [row for row in TABLE.findall(text) if row[0] != "room"]
    return {name: (re.findall(r"`(.*?)`", files), set(re.findall(r"\w+", may))) for name, files, may in rows}


def room_of(file: str) -> str | None:
    """The last room of the table whose pattern fits."""
    found = None
    for name, (patterns, _) in rooms().items():
        for pattern in patterns:
            whole = pattern + "*" if pattern.endswith("/") else pattern
            if fnmatch.fnmatchcase(file, whole) and not (pattern.endswith("/*/") and file.endswith("/__init__.py")):
                found = name
    return found


FILES = ["run.py", *sorted(str(p.relative_to(ROOT)) for package in PACKAGES for p in (ROOT / package).rglob("*.py"))]
MODULES = [f for f in FILES if not f.endswith("__init__.py") or (ROOT / f).read_text().count("import")]


def imported(file: str) -> set[str]:
    """Files of this repository that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    paths = {Path(*name.split(".")).with_suffix(".py") for name in names}
    paths |= {Path(*name.split("."), "__init__.py") for name in names}
    return {str(path) for path in paths if (ROOT / path).is_file() and path.parts[0] in (*PACKAGES, "run.py")}


@pytest.mark.parametrize("file", MODULES)
def test_imports_run_one_way(file):
    own = room_of(file)
    assert own is not None, f"{file} has no room in docs/architecture.md"
    allowed = rooms()[own][1] | {own}
    for other in sorted(imported(file)):
        room = room_of(other)
        if room is not None:
            assert room in allowed, f"{file} ({own}) imports {other} ({room}); {own} may import {sorted(allowed)}"


def test_a_task_never_imports_another_s_loop_or_note():
    for file in FILES:
        if file.startswith("bench/tasks/"):
            for other in imported(file):
                if Path(other).name in ("loop.py", "note.py"):
                    assert Path(other).parent == Path(file).parent, f"{file} imports {other}"


def test_the_table_has_no_circle_and_no_idle_row():
    known = list(rooms())
    for name, (patterns, may) in rooms().items():
        assert may <= set(known), name
        assert name not in may
        for pattern in patterns:
            assert any(
                room_of(f) == name and fnmatch.fnmatchcase(f, pattern + "*" * pattern.endswith("/")) for f in FILES
            ), pattern
    for name in known:  # nothing that a room imports imports it back
        seen, todo = set(), [name]
        while todo:
            for other in rooms()[todo.pop()][1] - seen:
                seen.add(other)
                todo.append(other)
        assert name not in seen, name


def test_no_code_of_the_suite_names_a_paper_in_an_import():
    """conf/ and mistakes/ know papers; the code finds them by their files."""
    papers = set(options("paper"))
    for file in FILES:
        if file.startswith("bench/"):
            for node in ast.walk(ast.parse((ROOT / file).read_text())):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    words = set(re.findall(r"\w+", ast.unparse(node)))
                    assert not words & papers, f"{file}:{node.lineno}"


def test_no_file_is_large():
    for file in FILES:
        lines = (ROOT / file).read_text().count("\n")
        assert lines <= 320, f"{file} has {lines} lines"
