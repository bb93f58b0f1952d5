"""A run of the program against the plain loops: the same rows, the same names in each, the same final metrics and counts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reference.feature_learning import Reference

Row = dict[str, float]


def text(value: Any) -> str:
    """A value as the command line has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {text(own)}" for name, own in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def compared(
    go: Callable[..., list[Path]],
    method: str,
    data: dict[str, Any],
    model: dict[str, Any],
    task: dict[str, Any],
    seeds: list[int],
    *,
    loose: dict[str, float] | None = None,
    rest: float = 1e-9,
    **own: Any,
) -> tuple[Reference, list[dict]]:
    """Run both and compare all; the reference and the result files.

    Args:
        own: keys of the method. loose: {name: relative tolerance} of numbers that quadrature or regression makes. rest: of all others.
    """
    from bench.run.curve import read_metrics

    parts = {"dataset": data, "model": model, "task": task, "method": own}
    line = [f"{part}.{name}={text(value)}" for part, keys in parts.items() for name, value in keys.items()]
    kind = "multi_index" if "target" in data else "single_index"
    folders = go(f"method={method}", f"dataset={kind}", *line, f"seeds={text(seeds)}")
    reference = Reference(method, data, model, task, seeds, own)
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    close = {"population_loss": 1e-8, "test_error": 1e-7, **(loose or {})}
    for s, folder in enumerate(folders):
        rows, expected = read_metrics(folder), reference.curves[s]
        assert len(rows) == len(expected)
        wanted = _grouped(expected)
        for key, group in _grouped(rows).items():
            for row, plain in zip(group, wanted.pop(key), strict=True):
                same(row, plain, close, rest)
        assert not wanted
        same(results[s]["metrics"], reference.finals[s], close, rest)
        assert results[s]["status"] == (
            "finished" if all(map(math.isfinite, reference.finals[s].values())) else "diverged"
        )
        measured = results[s]["measured"]
        assert math.isclose(
            measured["examples_per_second"] * measured["wall_seconds"], reference.examples, rel_tol=1e-6
        )
    return reference, results


def _grouped(rows: list[Row]) -> dict[tuple, list[Row]]:
    """Rows of a dimension and a number of samples per dimension, in their order; those of a run that all samples take apart by n."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dimension"], round(row["samples_per_dim"], 9)), []).append(row)
    return groups


def same(found: Row, expected: Row, loose: dict[str, float], rest: float) -> None:
    """The same names, and numbers that are as close as their tolerances say; what is not finite is null."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        if not math.isfinite(value):
            assert found[name] is None, name
            continue
        tolerance = loose.get(name, rest)
        assert math.isclose(found[name], value, rel_tol=tolerance, abs_tol=1e-3 * tolerance), (name, found[name], value)
