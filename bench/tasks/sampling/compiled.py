"""Steps of chains as one compiled call: a few hundred small operations a step cost more to start than to compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed, Unsupported

from bench.errors import UserError
from bench.tasks.sampling.protocol import Draws, Method, Target

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
        reason: why it is not.
    """

    def __init__(self, function: Callable[..., Any], cpu: bool = True) -> None:
        torch.compiler.reset()  # what was compiled for an earlier run counts towards a limit of one function's versions
        self.function, self.runs, self.reason = function, True, ""
        self.compiled = torch.compile(function, fullgraph=True, dynamic=False, options=CPU if cpu else None)  # type: ignore[arg-type]

    def __call__(self, *arguments: Any) -> Any:
        """The function's value.

        Raises:
            UserError: there is no working compiler.
        """
        if not self.runs:
            return self.function(*arguments)
        try:
            return self.compiled(*arguments)
        except Unsupported as reason:
            self.runs = False
            self.reason = str(reason).strip().splitlines()[0]
            return self.function(*arguments)
        except BackendCompilerFailed as error:
            reason = f"{type(error.inner_exception).__name__}: {error.inner_exception}".strip().splitlines()[0]
            raise UserError(
                f"hardware.compile = true: torch.compile failed ({reason}); use hardware.compile=false"
            ) from error


def advance(
    method: Method, target: Target, turn: int, x: Tensor, draws: Draws, rates: Sequence[Any] | None
) -> tuple[Tensor, list[Tensor], int]:
    """As many steps from x [P, N, d] as there are draws: the positions after them, the first chain's [N, d] after each, and energies of a copy.

    Args:
        turn: the parity of the first step.
        rates: of each step, where the method's vary.
    """
    path: list[Tensor] = []
    asked: list[int] = []
    for i in range(len(draws.normal)):
        draw = [part[i] for part in draws.target]

        def gradient(p: Tensor, draw: list[Tensor] = draw) -> Tensor:
            return target.noisy_gradient(p, *draw)

        def energy(p: Tensor, draw: list[Tensor] = draw) -> Tensor:
            asked.append(len(p))
            return target.noisy_energy(p, *draw)

        given = () if rates is None else (rates[i],)
        x = method.step(turn + i, x, gradient, energy, draws.normal[i], draws.uniform[i], *given)
        if torch.compiler.is_compiling():
            x = x.movedim(-1, 0).contiguous().movedim(0, -1)  # the copies run fastest: vector instructions
        path.append(x[0])
    return x, path, sum(asked)
