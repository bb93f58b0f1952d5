"""What the finite-sum task asks of a method and of its data, an expectation or a finite sum.

Shapes: H horizons, S seeds, d dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor


class Problem(Protocol):
    """f(x) = E F(x; sample), for S seeds at once. `num_components` is m of a finite sum, None for an expectation."""

    dim: int
    num_components: int | None

    def start(self) -> Tensor:
        """x_0 [S, d]."""

    def draw(self, chunk: int, count: int) -> Tensor:
        """`count` samples for each seed [count, S, ...] from the stream ("noise", chunk)."""

    def gradient(self, x: Tensor, sample: Tensor) -> Tensor:
        """Gradients of F(x; sample) [..., S, d] for x [..., S, d]; leading dimensions broadcast."""

    def full_gradient(self, x: Tensor) -> Tensor:
        """Gradients of f, [..., S, d]."""


class Method(Protocol):
    """A torch optimizer whose `step` takes a closure; built with a parameter group [S, d] for each horizon. Parameters whose horizon is
    reached have no gradient.

    One that has `snapshot(full_closure, num_components)` is called with it every m steps: `full_closure()` leaves the full gradients in the
    parameters. A static `theory(horizon, dim, num_components)` gives the theorem's `lr` (a factor) and other hyper-parameters by name,
    `initial_batch` among them.

    Attributes:
        param_groups: as in torch.
        skip_nonfinite: set to False: a NaN or infinite gradient of one seed or horizon is no reason to rest the others.
        state: as in torch; `estimate` of a parameter is the gradient estimate behind the step, the stochastic gradient where there is none.
    """

    param_groups: list[dict[str, Any]]
    state: dict[Any, Any]

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """A step on one sample. `closure()` puts its gradients at the current parameters in place, and may be called again; all are counted."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the parameters."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`, before the first step of a resumed run."""
