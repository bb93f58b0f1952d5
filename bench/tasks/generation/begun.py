"""A method's begin, for every task that lets one begin."""

from __future__ import annotations

from typing import Any

from bench.errors import UserError
from bench.tasks.generation.protocol import Problem


def begun(method: Any, problem: Problem) -> int:
    """The number of steps of a method that has begun.

    Raises:
        UserError: a key of the method does not fit the problem.
    """
    try:
        return method.begin(problem)
    except ValueError as error:
        raise UserError(f"method.{error}") from error
    except UserError as error:
        if str(error).partition(" ")[0] in vars(method):
            raise type(error)(f"method.{error}") from error
        raise
