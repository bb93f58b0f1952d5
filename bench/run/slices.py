"""A network whose minibatches are computed in slices, one a process, with the gradients of the whole.

Between two points a tensor is either whole, the same in all processes, or sliced: each process has its rows. `whole` and `sliced` lead from one to
the other, forth and back in the backward pass; parameters are whole and used on slices, so their gradients are summed. What a method does with the
logits, its loss among it, is done on the whole minibatch in each process, and comes to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.errors import UserError
from bench.run.hardware import Device
from bench.run.slice_layers import converted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.run.ddp import Group


class Rows:
    """The minibatch under way: which of its rows are this process's.

    Attributes:
        total: rows of the whole; None while a network sees whole tensors, as in evaluation.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.total: int | None = None

    @contextmanager
    def of(self, total: int) -> Iterator[None]:
        """Inside, tensors are sliced; of `total` rows until a layer changes that."""
        self.total = total
        try:
            yield
        finally:
            self.total = None

    def bounds(self, rank: int | None = None) -> slice:
        """The rows of a process (None: this one): slices differ by one row at most."""
        assert self.total is not None
        rank, size = self.group.rank if rank is None else rank, self.group.size
        return slice(rank * self.total // size, (rank + 1) * self.total // size)

    def joined(self, x: Tensor) -> Tensor:
        """The rows of all processes."""
        lengths = [part.stop - part.start for part in map(self.bounds, range(self.group.size))]
        padded = x.new_zeros((max(lengths), *x.shape[1:]))
        padded[: len(x)] = x
        return torch.cat([part[:length] for part, length in zip(self.group.gather(padded), lengths)])


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows) -> Tensor:
        ctx.part = rows.bounds()
        return rows.joined(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.part].contiguous(), None


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.total = rows, rows.total
        return x[rows.bounds()].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        with ctx.rows.of(ctx.total):
            return ctx.rows.joined(gradient), None


class _Shared(torch.autograd.Function):
    """Parameters as they are; their gradients summed over the processes, all of one dtype in one exchange."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.group = rows.group
        ctx.set_materialize_grads(False)
        return tuple(p.view_as(p) for p in parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        summed = list(gradients)
        for dtype in dict.fromkeys(g.dtype for g in gradients if g is not None):
            alike = [(k, g) for k, g in enumerate(gradients) if g is not None and g.dtype == dtype]
            flat = ctx.group.sum_(torch.cat([g.flatten() for _, g in alike]))
            for (k, g), part in zip(alike, flat.split([g.numel() for _, g in alike])):
                summed[k] = part.view(g.shape)
        return None, *summed


@torch.compiler.disable
def whole(x: Tensor, rows: Rows) -> Tensor:
    """All rows, of a sliced tensor."""
    return _Whole.apply(x, rows)


@torch.compiler.disable
def sliced(x: Tensor, rows: Rows) -> Tensor:
    """The rows of this process, of a whole tensor."""
    return _Sliced.apply(x, rows)


class SlicedForward:
    """Logits [B, K] of a minibatch [B, ...], of which each process computes its rows.

    A hook on a module, as a method's that mixes features, is given all rows of its output.
    """

    def __init__(self, model: nn.Module, rows: Rows, compiled: Callable[[Callable], Callable]) -> None:
        self._model, self._rows = model, rows
        self._names = [name for name, _ in model.named_parameters()]
        self._call = compiled(lambda parameters, x: functional_call(model, parameters, (x,)))

    def __call__(self, x: Tensor) -> Tensor:
        """Raises UserError for fewer rows than processes."""
        if len(x) < self._rows.group.size:
            raise UserError(
                f"a minibatch of {len(x)} for {self._rows.group.size} processes; task.batch_size of at least as many"
            )
        self._give_hooks_all_rows()
        parameters = _Shared.apply(self._rows, *self._model.parameters())
        with self._rows.of(len(x)):
            return whole(self._call(dict(zip(self._names, parameters)), sliced(x, self._rows)), self._rows)

    def _give_hooks_all_rows(self) -> None:
        for module in self._model.modules():
            for number, hook in module._forward_hooks.items():
                if not isinstance(hook, _OnAllRows):
                    module._forward_hooks[number] = _OnAllRows(hook, self._rows)


class _OnAllRows:
    def __init__(self, hook: Callable, rows: Rows) -> None:
        self._hook, self._rows = hook, rows

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if self._rows.total is None:
            return self._hook(module, inputs, output)
        found = self._hook(module, inputs, whole(output, self._rows))
        if found is None:
            return None
        self._rows.total = len(found)
        return sliced(found, self._rows)


@dataclass(frozen=True)
class SlicedDevice(Device):
    """A device of one of several processes: `place` prepares a network, and what `compiled` makes of it computes a slice of each minibatch."""

    rows: Rows = field(kw_only=True)

    def place(self, model: nn.Module) -> nn.Module:
        """As Device's; layers that look at the whole minibatch, or draw random numbers for it, do so across the processes."""
        return super().place(converted(model, self.rows, cuda=self.is_cuda))

    def compiled(self, function: Callable) -> Callable:
        """The forward pass of a network that was placed, sliced."""
        assert isinstance(function, nn.Module)  # tasks that are sliced hand over networks alone
        return SlicedForward(function, self.rows, super().compiled)
