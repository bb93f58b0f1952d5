"""Methods as their configs make them, and tests that stand elsewhere, for the outside references."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

from conftest import ROOT, job_of


@cache
def _node(name: str, dataset: str) -> dict[str, Any]:
    return job_of(f"method={name}", f"dataset={dataset}", "scale=smoke").parts["method"]


def made(name: str, *supplied: Any, dataset: str, **more: Any) -> Any:
    """The method that conf/method/<name>.yaml makes for a data set, with other values of some of its keys."""
    from bench.run.build import build

    return build("method", {**_node(name, dataset), **more}, *supplied)


def of_test(file: str, name: str, *arguments: Any) -> Callable[[], None]:
    """A test of another file, to be called."""

    def run() -> None:
        getattr(module(file), name)(*arguments)

    return run


@cache
def module(file: str) -> Any:
    """A file of tests, as a module of its own."""
    path = ROOT / "tests" / file
    spec = importlib.util.spec_from_file_location(f"stands_elsewhere_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
