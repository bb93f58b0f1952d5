"""A small network's loss as a finite sum with infinite data; float64, x is the flat vector of parameters.

Moments are not known in closed form but measured (`bench.tasks.doubly_stochastic.budget`), and there is no known optimum: V is taken at
parameters after a short training.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from bench.seeding import generator, stream_seed
from bench.tasks.doubly_stochastic.protocol import Batch
from datasets.sums.noisy_sum import NoisySum

CHUNK = 256  # minibatches whose gradients are formed at once


class NoisyNetwork(NoisySum):
    """A network's loss of one image and one noise vector, from a flat vector of parameters."""

    has_optimum = False
    minibatch_dims: int  # of the first tensor of a batch, for one minibatch

    def set_up(self, build: Callable[[], nn.Module], instance: int, steps: int, device: torch.device | str) -> None:
        """Build the network and train it for `steps` steps; `num_components`, `noise_dim` and `batch` are there by now."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(instance, "init"))
            self._model = build().double().to(device)
        self._shapes = {name: p.shape for name, p in self._model.named_parameters()}
        self.dim = sum(p.numel() for p in self._model.parameters())
        x = torch.cat([p.detach().flatten() for p in self._model.parameters()])
        self.optimum = self._train(x, instance, steps)

    def _train(self, x: Tensor, instance: int, steps: int) -> Tensor:
        """Adam with minibatches of 64."""
        x = x.requires_grad_()
        opt = torch.optim.Adam([x], lr=3e-3)
        for t in range(steps):
            stream = generator(instance, "order", t)
            index = torch.randint(self.num_components, (64,), generator=stream)
            eta = torch.randn(64, 1, self.noise_dim, generator=stream, dtype=torch.float64)
            opt.zero_grad()
            x.grad = self.gradient(x.detach(), self.batch(index, eta.to(x)))
            opt.step()
        return x.detach()

    def call(self, x: Tensor, *inputs: Tensor) -> Tensor:
        """The network's output with the parameters x [d]."""
        parts = x.split([shape.numel() for shape in self._shapes.values()])
        params = {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts)}
        return functional_call(self._model, params, inputs)

    def start(self) -> Tensor:
        """The parameters at which V is taken, [d]."""
        return self.optimum

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [d]: grad of the mean loss, for each of the leading dimensions."""
        lead = batch[0].shape[: -self.minibatch_dims]
        if not lead:
            return grad(self.mean_loss)(x, *batch)
        flat = [t.flatten(0, len(lead) - 1) for t in batch]
        found = vmap(grad(self.mean_loss), in_dims=(None, *[0] * len(flat)), chunk_size=CHUNK)(x, *flat)
        return found.view(*lead, self.dim)

    def mean_loss(self, x: Tensor, *batch: Tensor) -> Tensor:
        """Mean loss of one minibatch."""
        raise NotImplementedError

    def moments(self, x: Tensor, rho: float) -> None:
        """Not known: to be measured."""
        return None
