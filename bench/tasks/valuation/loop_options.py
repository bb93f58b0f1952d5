"""Options of conf/ that the task builds beside its own parts: the method of a comparison, a network, its optimizer and schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from bench.errors import UserError, allowed_list, nearest
from bench.run.config import typed
from bench.run.loading import load
from bench.run.options import options
from bench.run.paths import CONF
from bench.run.resolvers import register_resolvers

Node = dict[str, Any]
NETWORK = ["in_channels", "num_classes", "image_size"]


def option(key: str, group: str, name: str, scale: str, fits: Callable[[Node], bool] = lambda node: True) -> Node:
    """The typed node of conf/<group>/<name>.yaml as it stands there, at a scale.

    Args:
        key: the task's that names it, for error lines.
        fits: which nodes will do.

    Raises:
        UserError: no such option, or one that does not fit.
    """
    known = options(group)
    node = _node(group, name, scale) if name in known else {}
    if not node or not fits(node):
        fitting = [other for other in known if fits(_node(group, other, scale))]
        raise UserError(f"task.{key} = '{name}': allowed: {allowed_list(fitting, name)}{nearest(name, fitting)}")
    return typed(group, {k: v for k, v in node.items() if k != "tasks"})


def _node(group: str, name: str, scale: str) -> Node:
    """The values of an option's file, resolved at a scale."""
    register_resolvers()
    content = OmegaConf.load(CONF / group / f"{name}.yaml")
    content.pop("defaults", None)  # type: ignore[arg-type, call-arg]
    return OmegaConf.to_container(OmegaConf.create({"scale": scale, group: content}), resolve=True)[group]  # type: ignore[call-overload, index, return-value]


def serves(task: str) -> Callable[[Node], bool]:
    """Is a node a method's of a task?"""
    return lambda node: task in node.get("tasks", ())


def is_network(node: Node) -> bool:
    """Does a node build a network for images?"""
    target = str(node.get("_target_"))
    return target.startswith("bench.models.") and list(inspect.signature(load(target)).parameters)[:3] == NETWORK


def need_embedder(node: Node) -> None:
    """UserError where a node of conf/model builds a classifier."""
    if is_network(node):
        name = str(node["_target_"]).rpartition(".")[2]
        known = [
            other
            for other in options("model")
            if not _node("model", other, "smoke")["_target_"].startswith("bench.models.")
        ]
        raise UserError(
            f"model = {name}: a classifier, and valuation wants an embedder of points: {allowed_list(known)}"
        )
