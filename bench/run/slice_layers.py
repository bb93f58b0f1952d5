"""Layers that are more than a function of each image: batch normalisation over the whole minibatch, dropout masks of the whole minibatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.run.slices import Rows

Norm = TypeVar("Norm", bound=_BatchNorm)


def converted(model: nn.Module, rows: Rows, cuda: bool) -> nn.Module:
    """The network with such layers replaced; they share its parameters and buffers, and see whole tensors as before.

    Raises:
        UserError: a random layer of another kind.
    """
    replaced = _replaced(model, rows, cuda)
    for name, child in replaced.named_children():
        setattr(replaced, name, converted(child, rows, cuda))
    return replaced


def _replaced(module: nn.Module, rows: Rows, cuda: bool) -> nn.Module:
    if isinstance(module, _BatchNorm):
        made: BatchNorm | CudaBatchNorm | Dropout | Dropout2d = (
            _like(module, CudaBatchNorm) if cuda else _like(module, BatchNorm)
        )
    elif type(module) is nn.Dropout:
        made = Dropout(module.p)
    elif type(module) is nn.Dropout2d:
        made = Dropout2d(module.p)
    elif isinstance(module, _DropoutNd):
        raise UserError(f"hardware = 'ddp': {type(module).__name__} cannot be sliced; use Dropout or Dropout2d")
    else:
        return module
    made.rows = rows
    return made.train(module.training)


def _like(module: _BatchNorm, kind: type[Norm]) -> Norm:
    made = kind(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
    made._parameters, made._buffers = module._parameters, module._buffers
    return made


class BatchNorm(_BatchNorm):
    """Batch normalisation with the mean and variance of all processes' rows, for any number of dimensions; on a CPU."""

    rows: Rows

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> the same shape."""
        batch_statistics = self.training or self.running_mean is None
        if self.rows.total is None or not batch_statistics:
            return super().forward(x)
        return self._across(x)

    @torch.compiler.disable
    def _across(self, x: Tensor) -> Tensor:
        out, mean, var, count = _Normalised.apply(x, self.weight, self.bias, self.eps, self.rows)
        if self.training and self.track_running_stats:
            assert self.num_batches_tracked is not None
            assert self.running_mean is not None
            assert self.running_var is not None
            with torch.no_grad():
                self.num_batches_tracked += 1
                kept = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, kept)
                self.running_var.lerp_(var * (count / (count - 1)), kept)
        return out

    def _check_input_dim(self, x: Tensor) -> None:
        pass


class CudaBatchNorm(nn.SyncBatchNorm):
    """The same on a GPU, by torch's own kernels."""

    rows: Rows

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> the same shape."""
        return _BatchNorm.forward(self, x) if self.rows.total is None else super().forward(x)

    def _check_input_dim(self, x: Tensor) -> None:
        pass


class _Normalised(torch.autograd.Function):
    """Ioffe and Szegedy, 2015 (arXiv 1502.03167), with moments of parts put together as in Chan et al., 1979."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rows: Rows
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        over = [d for d in range(x.dim()) if d != 1]
        own = torch.var_mean(x if x.dtype == torch.float64 else x.float(), over, correction=0)
        count = x.new_full((1,), x.numel() / x.shape[1], dtype=torch.float64)
        packed = torch.stack(rows.group.gather(torch.cat([count, *(m.double() for m in own)])))
        counts, variances, means = packed[:, :1], *packed[:, 1:].chunk(2, 1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        var = (counts * (variances + (means - mean).square())).sum(0) / total
        mean, var = mean.to(own[1].dtype), var.to(own[1].dtype)
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.over, ctx.rows, ctx.total, ctx.biased = over, rows, total.item(), bias is not None
        ctx.mark_non_differentiable(mean, var, total)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var, total

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        shape = [1, -1, *[1] * (x.dim() - 2)]
        centred = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        wide = dy.to(mean.dtype)
        sums = torch.stack([wide.sum(ctx.over), (wide * centred).sum(ctx.over)])
        db, dw = sums.clone()
        along, across = ctx.rows.group.sum_(sums) / ctx.total
        dx = wide - along.view(shape) - centred * across.view(shape)
        dx = dx * (scale if weight is None else scale * weight).view(shape)
        return dx.to(x.dtype), None if weight is None else dw, db if ctx.biased else None, None, None


class Dropout(nn.Dropout):
    """Dropout with the rows that this process has of the whole minibatch's mask, from the same random numbers."""

    rows: Rows

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return super().forward(x) if self.rows.total is None or not self.training else x * self._mask(x)

    def _mask(self, x: Tensor) -> Tensor:
        assert self.rows.total is not None
        layout = torch.preserve_format
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        ones = x.new_ones((self.rows.total, *x.shape[1:]))
        return super().forward(ones.contiguous(memory_format=layout) if layout != torch.preserve_format else ones)[
            self.rows.bounds()
        ]


class Dropout2d(nn.Dropout2d):
    """The same of whole channels."""

    rows: Rows

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        if self.rows.total is None or not self.training:
            return super().forward(x)
        return x * super().forward(x.new_ones((self.rows.total, x.shape[1], 1, 1)))[self.rows.bounds()]
