r"""Gradients of each example, from a layer's inputs and the gradients at its outputs.

    linear:  dW_i = sum_p delta_ip x_ip^T        convolution: the same, with the patches of the input for x_ip
    affine:  dw_i = sum_p delta_ip * x_ip        embedding: delta_ip added to the row that was looked up

p runs over the positions of example i and over its K copies: rows [B K, ...] of a network's input have an example's copies side by side. With a
loss l_i that is the mean over copies, the sum over copies of these products is the gradient of l_i: copies are averaged before any norm is
taken. The gradient of the whole batch, which autograd would compute in the same backward pass, is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError

Keep = Callable[[Tensor, Tensor], None]  # of a layer: takes its inputs and the gradients at its outputs


class Gradients:
    """Per-example gradients as backward passes bring them.

    Args:
        parameters: those that are trained.
        copies: K, rows of an example.
    """

    def __init__(self, parameters: list[nn.Parameter], copies: int) -> None:
        self.parameters, self.copies = parameters, copies
        self._found: dict[nn.Parameter, Tensor] = {}

    def add(self, parameter: nn.Parameter | None, rows: Callable[[], Tensor]) -> None:
        """[B, *shape], added to what another use of the parameter gave."""
        if parameter is not None and parameter.requires_grad:
            found = rows().to(parameter.dtype)
            self._found[parameter] = self._found[parameter] + found if parameter in self._found else found

    def fold(self, x: Tensor) -> Tensor:
        """[B, K p, d] of rows [B K, ..., d]."""
        return x.reshape(len(x) // self.copies, -1, x.shape[-1])

    def summed(self, rows: Tensor) -> Tensor:
        """[B, ...] of rows [B K, ...]: over an example's copies."""
        return rows.view(-1, self.copies, *rows.shape[1:]).sum(1) if self.copies > 1 else rows

    def take(self, examples: int) -> list[Tensor]:
        """[B, *shape] of each parameter, 0 where the loss does not depend on it; nothing is kept.

        Raises:
            UserError: a parameter was used outside of its layer, or rows are not B K.
        """
        if any(parameter.grad is not None for parameter in self.parameters):
            raise UserError(
                "method: a trained parameter is used outside of its own layer, where gradients of single examples are not known"
            )
        taken = [self._found.pop(p, None) for p in self.parameters]
        taken = [p.new_zeros(examples, *p.shape) if g is None else g for p, g in zip(self.parameters, taken)]
        if any(len(gradient) != examples for gradient in taken):
            raise UserError(
                f"method: a trained layer sees other rows than {examples} examples of {self.copies} copies each"
            )
        return taken


class _Linear(torch.autograd.Function):
    """x W^T + b; the gradients of W and b go to `keep`, example by example."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, keep: Keep) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keep = keep
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        ctx.keep(x.to(delta.dtype), delta)
        return ((delta @ weight.to(delta.dtype)).to(x.dtype) if ctx.needs_input_grad[0] else None, None, None, None)


class _Convolution(torch.autograd.Function):
    """A two-dimensional convolution, likewise. where: stride, padding, dilation and groups."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, keep: Keep, where: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keep, ctx.where = keep, where
        return F.conv2d(x, weight, bias, *where)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        ctx.keep(x.to(delta.dtype), delta)
        back = None
        if ctx.needs_input_grad[0]:
            back = torch.nn.grad.conv2d_input(x.shape, weight.to(delta.dtype), delta, *ctx.where).to(x.dtype)  # type: ignore[attr-defined]
        return back, None, None, None, None


class _Affine(torch.autograd.Function):
    """x * w + b, coordinate by coordinate, likewise. w and b come in a shape that fits x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, keep: Keep) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keep = keep
        return x * weight if bias is None else torch.addcmul(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        ctx.keep(x.to(delta.dtype), delta)
        return (delta * weight).to(x.dtype) if ctx.needs_input_grad[0] else None, None, None, None


class _Embedding(torch.autograd.Function):
    """Rows of W, likewise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, keep: Keep) -> Tensor:
        ctx.save_for_backward(x)
        ctx.keep = keep
        return F.embedding(x, weight)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        ctx.keep(ctx.saved_tensors[0], delta)
        return None, None, None


def _linear(layer: nn.Linear, into: Gradients) -> Callable[[Tensor], Tensor]:
    def keep(x: Tensor, delta: Tensor) -> None:
        delta = into.fold(delta)
        into.add(layer.weight, lambda: torch.bmm(delta.mT, into.fold(x)))  # type: ignore[arg-type]
        into.add(layer.bias, lambda: delta.sum(1))

    return lambda x: _Linear.apply(x, layer.weight, layer.bias, keep)


def _convolution(layer: nn.Conv2d, into: Gradients) -> Callable[[Tensor], Tensor]:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UserError(
            f"method: a trained convolution has padding {layer.padding} of {layer.padding_mode}; numbers of zeros"
        )
    where = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def weights(x: Tensor, delta: Tensor) -> Tensor:
        delta = delta.unflatten(1, (layer.groups, -1)).unflatten(0, (-1, into.copies))  # [B, K, groups, out, h, w]
        rows = delta.permute(0, 2, 3, 1, 4, 5).flatten(3) @ _windows(layer, x, into.copies, delta.shape[-2:])
        return rows.flatten(1, 2).unflatten(2, (*layer.kernel_size, -1)).movedim(-1, 2).contiguous()

    def keep(x: Tensor, delta: Tensor) -> None:
        into.add(layer.weight, lambda: weights(x, delta))  # type: ignore[arg-type]
        into.add(layer.bias, lambda: into.summed(delta.flatten(2).sum(2)))  # type: ignore[arg-type]

    return lambda x: _Convolution.apply(x, layer.weight, layer.bias, keep, where)


def _windows(layer: nn.Conv2d, x: Tensor, copies: int, size: tuple[int, int]) -> Tensor:
    """What a convolution sees at each place: [B, groups, K h w, kh kw C / groups] of its inputs [B K, C, H, W], h and w the `size` of its output.

    In one copy, of overlapping views with the channels last.
    """
    (high, wide), channels = layer.padding, x.shape[1] // layer.groups  # type: ignore[str-unpack]
    cells = F.pad(x, (wide, wide, high, high)).permute(0, 2, 3, 1).contiguous()  # type: ignore[arg-type]
    row, down, right, _ = cells.stride()
    steps = [stride * step for stride, step in zip((down, right, down, right), (*layer.stride, *layer.dilation))]
    shape = (len(x) // copies, layer.groups, copies, *size, *layer.kernel_size, channels)
    views = cells.as_strided(shape, (row * copies, channels, row, *steps, 1))
    return views.reshape(*shape[:2], copies * size[0] * size[1], -1)


def _group_norm(layer: nn.GroupNorm, into: Gradients) -> Callable[[Tensor], Tensor]:
    def keep(x: Tensor, delta: Tensor) -> None:
        into.add(layer.weight, lambda: into.summed((x * delta).reshape(*x.shape[:2], -1).sum(2)))
        into.add(layer.bias, lambda: into.summed(delta.reshape(*x.shape[:2], -1).sum(2)))

    def forward(x: Tensor) -> Tensor:
        weight, bias = (one.view(-1, *[1] * (x.ndim - 2)) for one in (layer.weight, layer.bias))
        return _Affine.apply(F.group_norm(x, layer.num_groups, eps=layer.eps), weight, bias, keep)

    return forward


def _layer_norm(layer: nn.LayerNorm, into: Gradients) -> Callable[[Tensor], Tensor]:
    shape = layer.normalized_shape

    def rows(x: Tensor) -> Tensor:
        return into.fold(x.reshape(len(x), -1, math.prod(shape))).sum(1).view(-1, *shape)

    def keep(x: Tensor, delta: Tensor) -> None:
        into.add(layer.weight, lambda: rows(x * delta))
        into.add(layer.bias, lambda: rows(delta))

    return lambda x: _Affine.apply(F.layer_norm(x, shape, eps=layer.eps), layer.weight, layer.bias, keep)


def _embedding(layer: nn.Embedding, into: Gradients) -> Callable[[Tensor], Tensor]:
    if layer.padding_idx is not None or layer.max_norm is not None:
        raise UserError("method: a trained embedding has padding_idx or max_norm; neither")

    def keep(x: Tensor, delta: Tensor) -> None:
        into.add(layer.weight, lambda: rows(x, delta))  # type: ignore[arg-type]

    def rows(x: Tensor, delta: Tensor) -> Tensor:
        examples, (words, width) = len(x) // into.copies, layer.weight.shape
        own = torch.arange(len(x), device=x.device).div(into.copies, rounding_mode="floor")
        places = x.reshape(len(x), -1) + words * own[:, None]
        rows = delta.new_zeros(examples * words, width)
        return rows.index_add_(0, places.flatten(), delta.reshape(-1, width)).view(examples, words, width)

    return lambda x: _Embedding.apply(x, layer.weight, keep)


LAYERS = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
}


@contextmanager
def per_example(network: nn.Module, copies: int = 1) -> Iterator[Gradients]:
    """Inside, a backward pass from the sum of B losses l_i leaves the gradient of each l_i, and none in `parameter.grad`.

    Args:
        network: its first axis is rows, [B K, ...] in every trained layer; no layer mixes rows.
        copies: K.

    Raises:
        UserError: a trained parameter is in a layer of another kind than `LAYERS`.
    """
    gradients = Gradients([p for p in network.parameters() if p.requires_grad], copies)
    with ExitStack() as stack:
        for name, layer in network.named_modules():
            if any(parameter.requires_grad for parameter in layer.parameters(recurse=False)):
                kind = next((kind for kind in LAYERS if layer.forward == kind.forward.__get__(layer)), None)  # type: ignore[attr-defined]
                if kind is None:
                    known = ", ".join(kind.__name__ for kind in LAYERS)
                    raise UserError(
                        f"method: trains {name or 'the network'}, a {type(layer).__name__}; gradients of single examples are known of {known}"
                    )
                layer.forward = LAYERS[kind](layer, gradients)  # type: ignore[operator]
                stack.callback(delattr, layer, "forward")
        yield gradients
