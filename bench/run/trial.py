"""A method's constructor tried on one parameter: its own checks of its hyper-parameters, before any job."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from bench.errors import UserError
from bench.run.build import build
from bench.run.loading import load

PARAMS = "params"  # what every torch optimizer calls its first argument


def try_method(node: Mapping[str, Any]) -> None:
    """Build the method, unless it needs more than parameters; then only its task can.

    Raises:
        UserError: what the constructor's ValueError says.
    """
    keys = {name for name in node if name != "_target_"}
    try:
        arguments = inspect.signature(load(str(node["_target_"]))).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [a.name for a in arguments if a.default is a.empty and a.kind is a.POSITIONAL_OR_KEYWORD]
    needed = [name for name in needed if name not in keys]
    if not set(needed) <= {PARAMS}:
        return
    supplied = [[torch.nn.Parameter(torch.zeros(1))]] if needed else []
    try:
        build("method", node, *supplied)
    except UserError:
        raise
    except Exception:  # a fault that the job will report with its traceback
        return
