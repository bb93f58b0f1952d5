"""Steps of chains as one compiled call: a few hundred small operations a step cost more to start than to compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import BackendCompilerFailed, Unsupported

from bench.errors import UserError

CPU = {
    "cpp_wrapper": True,
    "memory_planning": True,
    "size_asserts": False,
}  # between the loops no Python, one block of memory


class Compiled:
    """A function through torch.compile as a single graph, or as it is where it has none (a loop whose length depends on the data).

    Args:
        cpu: does it run there?

    Attributes:
        runs: is it compiled? Known after the first call.
    """

    def __init__(self, function: Callable[..., Any], cpu: bool = True) -> None:
        torch.compiler.reset()  # what was compiled for an earlier run counts towards a limit of one function's versions
        self.function, self.runs = function, True
        self.compiled = torch.compile(function, fullgraph=True, dynamic=False, options=CPU if cpu else None)

    def __call__(self, *arguments: Any) -> Any:
        """The function's value.

        Raises:
            UserError: there is no working compiler.
        """
        if not self.runs:
            return self.function(*arguments)
        try:
            return self.compiled(*arguments)
        except Unsupported:
            self.runs = False
            return self.function(*arguments)
        except BackendCompilerFailed as error:
            reason = f"{type(error.inner_exception).__name__}: {error.inner_exception}".strip().splitlines()[0]
            raise UserError(
                f"hardware.compile = true: torch.compile failed ({reason}); use hardware.compile=false"
            ) from error
