"""The versions that the documents name are those of pyproject.toml, and no code meets what Python 3.12.0 to 3.12.3 get wrong."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
HELD = [Requirement(line) for line in (*PROJECT["dependencies"], *(r for e in EXTRAS.values() for r in e))]
LINTERS = re.compile(r"ruff|mypy|types-|.*-stubs")  # what no test runs with
UNTRIED = ("ray", "flash-sinkhorn")  # `make setup` leaves them out
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/running.md").read_text().partition("## Versions")[2].splitlines()
    if re.match(r"\| *\d", line)
]
COLUMNS = ("torch", "torchvision", "numpy", "hydra-core", "wandb")


def lowest(requirement: Requirement) -> str:
    """The version after `>=`."""
    return next(s.version for s in requirement.specifier if s.operator == ">=")


def test_the_constraints_of_the_lowest_versions_are_the_lower_bounds():
    lines = (ROOT / "tests/lowest.txt").read_text().splitlines()
    tried = [r for r in HELD if r.name not in UNTRIED and not LINTERS.match(r.name)]
    assert [x for x in lines if x[0] != "#"] == list(dict.fromkeys(f"{r.name}=={lowest(r)}" for r in tried))


def test_every_python_that_is_allowed_was_tried_and_no_other():
    minors = {row[0].split()[0].rpartition(".")[0] for row in TABLE}
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert minors == {f"3.{k}" for k in range(30) if allowed.contains(f"3.{k}")}
    last = max(minors, key=lambda text: int(text.partition(".")[2]))
    for page in ("README.md", "CONTRIBUTING.md", "docs/running.md"):
        assert f"Python 3.11 to {last}" in (ROOT / page).read_text(), page


def test_the_lowest_row_is_the_lower_bounds_and_every_version_is_allowed():
    bounds = {r.name: r for r in HELD}
    row = next(row for row in TABLE if "lowest" in row[0])
    for name, version in zip(COLUMNS, row[1:], strict=False):
        assert SpecifierSet(f"=={lowest(bounds[name])}").contains(version), name
    for row in TABLE:
        for name, version in zip(COLUMNS, row[1:], strict=False):
            assert bounds[name].specifier.contains(version), (name, version)


# ---- comprehensions: https://github.com/python/cpython/issues/118513

INLINED = (ast.ListComp, ast.SetComp, ast.DictComp)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.GeneratorExp)


def within(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's own scope, with its comprehensions' and without those of functions in it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (*SCOPES, ast.ClassDef)):
            yield from within(child)


def names(nodes: Iterator[ast.AST] | list[ast.AST]) -> set[str]:
    """What the names among them are."""
    return {n.id for n in nodes if isinstance(n, ast.Name)}


def targets(comprehension: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> set[str]:
    """Its own variables."""
    return {name for part in comprehension.generators for name in names(list(ast.walk(part.target)))}


def free(node: ast.AST) -> set[str]:
    """Names of an expression that it does not bind itself."""
    if isinstance(node, ast.Name):
        return {node.id}
    found = {name for child in ast.iter_child_nodes(node) for name in free(child)}
    if isinstance(node, (*INLINED, ast.GeneratorExp)):
        return found - targets(node)
    return (
        found - {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        if isinstance(node, ast.Lambda)
        else found
    )


def hidden(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a comprehension takes a name from outside its function that another comprehension there has as its variable."""
    for scope in (node for node in ast.walk(tree) if isinstance(node, SCOPES)):
        inside = list(within(scope))
        comprehensions = [node for node in inside if isinstance(node, INLINED)]
        walked = {id(node) for c in comprehensions for node in ast.walk(c)}
        local = names([n for n in inside if id(n) not in walked and isinstance(getattr(n, "ctx", None), ast.Store)])
        local |= {n.target.id for n in inside if isinstance(n, ast.NamedExpr)}
        named = [
            n for n in inside if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.alias, ast.ExceptHandler)) and n.name
        ]
        local |= {(getattr(n, "asname", None) or n.name).partition(".")[0] for n in named}
        local |= {a.arg for a in ast.walk(getattr(scope, "args", ast.Pass())) if isinstance(a, ast.arg)}
        local |= targets(scope) if isinstance(scope, ast.GeneratorExp) else set()
        taken = {name for c in comprehensions for name in targets(c)} - local
        yield from (
            (c.lineno, name) for c in comprehensions for name in free(c) & taken if not nested(c, comprehensions)
        )


def nested(one: ast.AST, comprehensions: list) -> bool:
    """Whether it lies in another of them."""
    return any(one is node for c in comprehensions if c is not one for node in ast.walk(c))


def test_no_comprehension_s_variable_hides_what_the_next_one_calls():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for folder in ("bench", "methods", "datasets", "mistakes", "scripts", "examples", "hydra_plugins", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name in hidden(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("second", "bad"),
    [
        ("[row(x) for x in rows]", True),
        ("[[row(x) for x in r] for r in rows]", True),
        ("[row for row in rows]", False),
        ("row(rows)", False),
        ("list(row(x) for x in rows)", False),
    ],
)
def test_such_a_variable_is_found(second, bad):
    source = f"def f(rows):\n    first = [id(row) for row in rows]\n    return first, {second}\n"
    assert bool(list(hidden(ast.parse(source)))) is bad
