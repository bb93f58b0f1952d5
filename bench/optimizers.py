"""What tasks ask of a torch optimizer that anybody may have written: each thing that does not fit is one line that says what to change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_object
from torch import Tensor

from bench.errors import UserError

MEMBERS = ("param_groups", "state", "step", "zero_grad", "state_dict", "load_state_dict")


def check_constructor(node: Mapping[str, Any], **more: Any) -> None:
    """Can it be built as `_target_(params, **more, **keys)`?

    Raises:
        UserError: it takes no parameters first, or not these keys.
    """
    name, keys = node["_target_"], {key: value for key, value in node.items() if key != "_target_"}
    try:
        signature = inspect.signature(get_object(name))
    except ValueError:  # none to read
        return
    try:
        signature.bind([], **more, **keys)
    except TypeError as error:
        wanted = ", ".join(["self", "params", *more, "*", *keys])
        raise UserError(f"method: {name}{signature}: {error}; write __init__({wanted})") from None


def check_members(optimizer: Any) -> None:
    """Has it what a torch optimizer has, and takes its step a closure?

    Raises:
        UserError: it is no torch optimizer, or its step takes no closure.
    """
    name = type(optimizer).__name__
    missing = [member for member in MEMBERS if not hasattr(optimizer, member)]
    if missing:
        raise UserError(
            f"method: {name} has no {missing[0]}; derive it from torch.optim.Optimizer and call super().__init__(params, defaults)"
        )
    try:
        inspect.signature(optimizer.step).bind(lambda: None)
    except TypeError:
        raise UserError(
            f"method: {name}.step takes no closure; write step(self, closure), and call closure() for the loss and the gradients"
        ) from None


def step(optimizer: Any, closure: Callable[[], Tensor], evaluations: Callable[[], int]) -> Tensor:
    """optimizer.step(closure): the loss [] that it returns.

    Args:
        evaluations: counts the closure's calls, in any unit.

    Raises:
        UserError: the step never calls the closure, or returns no loss.
    """
    before = evaluations()
    loss = optimizer.step(closure)
    if evaluations() == before:
        raise UserError(
            f"method: {type(optimizer).__name__}.step never calls its closure; call it for the loss and the gradients: loss = closure()"
        )
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise UserError(
            f"method: {type(optimizer).__name__}.step returns {_kind(loss)}; end it with `return loss`, what its first closure() gave"
        )
    return loss


def _kind(value: Any) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else str(value)
