"""What methods that form their own loss share: the optimizer that they bring their gradients to.

Such a method stands where an optimizer stands; all that it does not do itself (groups, state, snapshots, samples) is its optimizer's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.types import Built

Network = Callable[[Tensor], Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Parts = Iterable[tuple[Tensor, int]]


SMALLEST = 3  # side of an image of which a rule can take a part


def need_images(x: Tensor, rule: str) -> None:
    """UserError where x [B, C, H, W] are points, or images too small to have parts."""
    if min(x.shape[-2:]) < SMALLEST:
        height, width = x.shape[-2:]
        raise UserError(
            f"method: {rule} takes parts of images, and these have {height} x {width} pixels; at least {SMALLEST} a side"
        )


def bce_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of softmax probabilities, its mean over batch and classes; logits and targets [B, C].

    What the released code of manifold mixup, Puzzle Mix and Co-Mixup trains with; its gradients are about C times smaller than the cross-entropy's.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logs = logits.log_softmax(1).clamp_min(-100.0)
    others = torch.log1p(-logits.softmax(1).clamp_max(1 - torch.finfo(logits.dtype).eps))
    return -(targets * logs + (1 - targets) * others).mean()


class Composed(Optimizer):
    """Base: `losses` forms the minibatch's loss, an optimizer takes the steps.

    Args:
        params: parameters to optimise, handed to the optimizer as they are.
        model: the network, where a rule looks into it.
        mean, std: of its input (x / 255 - mean) / std, [1, C, 1, 1].
        num_examples, seed, total_steps: of the run, for optimizers that take them.
        optimizer: makes it out of the parameters, and of what else of the above its own arguments name: `partial(SGD, lr=0.1)`.
        loss: ce, the cross-entropy of soft labels that the task gives (with its label smoothing), or bce, that of `bce_of_softmax` without any.
    """

    def __init__(
        self,
        params: Any,
        model: nn.Module | None = None,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        num_examples: int = 1,
        seed: int = 0,
        total_steps: int | None = None,
        *,
        optimizer: Built,
        loss: Literal["ce", "bce"] = "ce",
    ) -> None:
        if loss not in ("ce", "bce"):
            raise ValueError(f"loss = '{loss}': ce or bce")
        self.model, self.mean, self.std, self.loss = model, mean, std, loss
        offered = {"model": model, "mean": mean, "std": std, "num_examples": num_examples, "seed": seed}  # type: dict[str, Any]
        offered |= {"total_steps": total_steps, "buffers": [] if model is None else list(model.buffers())}
        takes = inspect.signature(optimizer).parameters
        self.optimizer = optimizer(params, **{name: value for name, value in offered.items() if name in takes})
        if hasattr(self.optimizer, "losses"):
            name = type(self.optimizer).__name__
            raise ValueError(f"optimizer: {name} forms a loss of its own; one of the two can, choose a plain optimizer")

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer" or name.startswith("__"):  # while a copy is being made
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """Parts (loss [], images) of the minibatch's loss, each backpropagated before the next is asked for.

        Args:
            network: gives logits [B, C].
            x, y: images [B, C, H, W] and labels [B].
            loss: the mean cross-entropy of logits with labels [B] or probabilities [B, C].
            generator: of all that is random in it.
        """
        raise NotImplementedError

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:  # type: ignore[override]
        """The optimizer's."""
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The optimizer's."""
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The optimizer's."""
        self.optimizer.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's: nothing is remembered between steps beside it."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The optimizer's."""
        self.optimizer.load_state_dict(state_dict)

    def _criterion(self, loss: Criterion) -> Criterion:
        return bce_of_softmax if self.loss == "bce" else loss


class Unmixed(Composed):
    """The minibatch as it is: what mixing is compared with, under the same loss and optimizer.

    Args: as Composed's.
    """

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """One part, of all images."""
        logits = network(x)
        targets = nn.functional.one_hot(y, logits.shape[1]).float() if self.loss == "bce" else y
        yield self._criterion(loss)(logits, targets), len(y)
