"""Options of conf/ that the task builds beside its own parts: the method of a comparison, a network, its optimizer and schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from bench.errors import UserError, allowed_list, nearest
from bench.run.config import typed
from bench.run.loading import load
from bench.run.options import options, read_yaml
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
    nodes = {other: _node(group, other, scale) for other in options(group)}
    fitting = [other for other, node in nodes.items() if fits(node)]
    if name not in fitting:
        raise UserError(f"task.{key} = '{name}': allowed: {allowed_list(fitting, name)}{nearest(name, fitting)}")
    return typed(group, {k: v for k, v in nodes[name].items() if k != "tasks"})


def _node(group: str, name: str, scale: str) -> Node:
    register_resolvers()
    content = {k: v for k, v in read_yaml(CONF / group / f"{name}.yaml").items() if k != "defaults"}
    return OmegaConf.to_container(OmegaConf.create({"scale": scale, group: content}), resolve=True)[group]


def serves(task: str) -> Callable[[Node], bool]:
    """Is a node a method's of a task?"""
    return lambda node: task in node.get("tasks", ())


def is_network(node: Node) -> bool:
    """Does a node build a network for images?"""
    target = str(node.get("_target_"))
    return target.startswith("bench.models.") and list(inspect.signature(load(target)).parameters)[:3] == NETWORK
