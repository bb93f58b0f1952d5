r"""EL2N: the error of classifiers early in their training.

    value_i = - mean_m || softmax(f_m(e_i)) - onehot(y_i) ||_2

over networks f_m that differ in their start. A point that they still get wrong early is hard, or its label is wrong.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.valuation.protocol import Problem
from bench.types import Decay, NonNegativeInt, PositiveFloat, PositiveInt
from methods.valuation.base import Scale, Valuer, one_hot

ELEMENTS = 2**21  # hidden activations held at a time when points are scored


class EL2N(Valuer):
    """Minus the mean error norm of several classifiers on the features after a few epochs; one batch of all of them a step.

    Features are brought to mean 0 and standard deviation 1. The reference set is not used. A unit is an epoch.

    Args:
        models: classifiers.
        hidden: width of a hidden ReLU layer; 0: none, a softmax head.
        epochs: after which they are scored.
        batch_size: of their training; at most all points.
        lr, momentum: of SGD.
    References: Paul et al., 2021, "Deep learning on a data diet".
    """

    def __init__(
        self,
        *,
        models: PositiveInt,
        hidden: NonNegativeInt,
        epochs: PositiveInt,
        batch_size: PositiveInt,
        lr: PositiveFloat,
        momentum: Decay,
    ) -> None:
        super().__init__()
        self.models, self.hidden, self.epochs = models, hidden, epochs
        self.batch_size, self.lr, self.momentum = batch_size, lr, momentum

    def start(self, problem: Problem) -> int:
        self.scale = Scale(problem.x)
        d, k = problem.x.shape[1], problem.num_classes
        sizes = [d, *([self.hidden] if self.hidden else []), k]
        stream = generator(problem.seed, "init")
        for layer, (wide, out) in enumerate(pairwise(sizes)):
            weight = torch.randn(self.models, wide, out, generator=stream) * (2 / wide) ** 0.5
            self.found[f"weight{layer}"] = weight.to(problem.x.device)
            self.found[f"bias{layer}"] = torch.zeros(self.models, 1, out, device=problem.x.device)
        self.found |= {f"momentum_{name}": torch.zeros_like(value) for name, value in self.found.items()}
        return self.epochs

    @property
    def _layers(self) -> int:
        return 2 if self.hidden else 1

    @torch.no_grad()
    def advance(self, unit: int) -> None:
        """An epoch of all classifiers, in one order of the points; after the last one the scores."""
        problem, n = self.problem, len(self.problem.y)
        order = torch.randperm(n, generator=generator(problem.seed, "order", unit)).to(problem.x.device)
        size = min(self.batch_size, n)
        for first in range(0, n - size + 1, size):
            chosen = order[first : first + size]
            self._step(self.scale(problem.x[chosen]).float(), problem.y[chosen])
        if unit + 1 == self.epochs:
            self.found["values"] = self._scores()

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Probabilities [m, B, K] and hidden activations [m, B, h] of x [B, d]."""
        hidden, rows = None, x.expand(self.models, -1, -1)
        if self.hidden:
            hidden = rows = torch.baddbmm(self.found["bias0"], rows, self.found["weight0"]).relu_()
        last = self._layers - 1
        return torch.baddbmm(self.found[f"bias{last}"], rows, self.found[f"weight{last}"]).softmax(-1), hidden

    def _step(self, x: Tensor, y: Tensor) -> None:
        """SGD on the mean cross-entropy of x [B, d], y [B]."""
        p, hidden = self._forward(x)
        error = (p - one_hot(y, self.problem.num_classes).float()) / len(y)  # [m, B, K]
        rows = x.expand(self.models, -1, -1)
        gradients = {}  # type: dict[str, Tensor]
        if hidden is not None:
            back = (error @ self.found["weight1"].mT) * (hidden > 0)
            gradients |= {"weight1": hidden.mT @ error, "bias1": error.sum(1, keepdim=True)}
            error = back
        gradients |= {"weight0": rows.mT @ error, "bias0": error.sum(1, keepdim=True)}
        for name, gradient in gradients.items():
            velocity = self.found[f"momentum_{name}"].mul_(self.momentum).add_(gradient)
            self.found[name].sub_(velocity, alpha=self.lr)

    def _scores(self) -> Tensor:
        """[N], minus the mean norms."""
        problem, parts = self.problem, []
        rows = max(1, ELEMENTS // (self.models * max(self.hidden, problem.num_classes)))
        for x, y in zip(problem.x.split(rows), problem.y.split(rows)):
            p, _ = self._forward(self.scale(x).float())
            parts.append(-(p.double() - one_hot(y, problem.num_classes)).norm(dim=-1).mean(0))
        return torch.cat(parts)
