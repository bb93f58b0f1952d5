"""What a constructor refuses of a single key is refused when the config is typed: before any job, without torch."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

from bench.errors import UserError
from bench.run.config import typed
from bench.run.loading import load
from bench.run.options import options, read_yaml
from bench.run.paths import CONF
from bench.run.signature import REQUIRED, signature
from bench.run.trial import try_method
from bench.types import BUILT

EXTREMES: tuple[Any, ...] = (-1e300, -2, -1.0, -1, -0.5, 0, 0.0, 0.5, 1, 1.0, 1.5, 2, 10**6, 1e300)


def plain(method: str) -> dict[str, Any]:
    """A method's node with its file's numbers; for a computed one the constructor's default, or 8 or 0.5."""
    node = read_yaml(CONF / "method" / f"{method}.yaml")
    node.pop("tasks", None)
    found = {"_target_": node["_target_"]}
    for name, (kind, default) in signature(node["_target_"]).keys.items():
        given = node.get(name, default)
        if BUILT in getattr(kind, "__metadata__", ()):
            given = plain(next(one[f"/method@{name}"] for one in node["defaults"] if f"/method@{name}" in one))
        if isinstance(given, str) and "${" in given:
            given = default
        if isinstance(given, str) and name not in ("loss", "geometry") and given[:1].isdigit():
            given = float(given)  # 1e-4 is a string to a YAML reader of version 1.1
        if given is REQUIRED or (given is None and default is REQUIRED):
            given = 8 if "int" in str(kind) else 0.5
        found[name] = given
    return found


@pytest.mark.parametrize("method", options("method"))
def test_what_a_constructor_refuses_of_one_key_its_type_refuses(method):
    node = plain(method)
    try:
        node = typed("method", node)
        try_method(node)
    except UserError as error:
        pytest.skip(f"computed by its experiment: {error}")
    refused = []
    for key in node:
        if isinstance(node[key], bool) or not isinstance(node[key], int | float):
            continue
        for value in EXTREMES:
            try:
                changed = typed("method", node | {key: value})
            except UserError:
                continue
            try:
                try_method(changed)
            except UserError as error:  # what is left concerns two keys, or sizes that double precision cannot hold
                if re.search(r"at most \d+(\.\d+e\+\d+|e\+\d+|$)", str(error)):
                    continue
                if not any(f"{name} " in str(error) for name in node if name not in (key, "_target_")):
                    refused.append(f"{key} = {value}: {error}")
    assert refused == [], "these fit their types"


def test_the_try_builds_what_needs_parameters_alone():
    with pytest.raises(UserError, match="lr = -1: a positive number"):
        try_method({"_target_": "methods.sign.signsgd.SignSGD", "lr": -1})
    with pytest.raises(UserError, match=r"method: .*Nesterov"):
        try_method({"_target_": "methods.sign.baselines.SGD", "lr": 0.1, "momentum": 0.0, "nesterov": True})
    needs = inspect.signature(load("methods.noisy.doubly_sgd.DoublySGD")).parameters["num_components"]
    assert needs.default is needs.empty
    try_method({"_target_": "methods.noisy.doubly_sgd.DoublySGD", "lr": 0.1, "batch_size": 10**9})
    assert torch.get_default_dtype() == torch.float32
