"""The small networks on digits as finite sums: built, warmed up and differentiated with torch's modules, one minibatch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from reference.noisy_problems import Array, Sum
from scipy.stats import beta, norm
from sklearn.datasets import load_digits
from torch import Tensor, nn

from bench.seeding import generator, stream_seed


class Network(Sum):
    """A network of which V is taken after `warm_up` steps of Adam on minibatches of 64 with a draw for each image."""

    def __init__(self, k: int, layers: Sequence[tuple[int, int]], warm_up: int, instance: int) -> None:
        images, self.labels = load_digits(return_X_y=True)
        self.images, self.n, self.k = torch.from_numpy(images / 16), len(images), k
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(instance, "init"))
            self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in layers).double()
        optimizer = torch.optim.Adam(self.layers.parameters(), lr=3e-3)
        for t in range(warm_up):
            stream = generator(instance, "order", t)
            index = torch.randint(self.n, (64,), generator=stream).numpy()
            eta = torch.randn(64, 1, k, generator=stream, dtype=torch.float64).numpy()
            optimizer.zero_grad()
            self._mean(index, eta).backward()
            optimizer.step()
        self.optimum = self.start = np.concatenate([p.detach().numpy().ravel() for p in self.layers.parameters()])

    def loss(self, i: int, eta: Array) -> Tensor:
        """Of one image and one draw [k]."""
        raise NotImplementedError

    def _mean(self, index: Sequence[int], eta: Array) -> Tensor:
        losses = [self.loss(int(i), draw) for slot, i in enumerate(index) for draw in eta[slot if len(eta) > 1 else 0]]
        return torch.stack(losses).mean()

    def minibatch(self, index: Sequence[int], eta: Array | None, x: Array) -> Array:
        assert eta is not None
        assert x is self.start
        parts = torch.autograd.grad(self._mean(index, eta), list(self.layers.parameters()))
        return np.concatenate([part.numpy().ravel() for part in parts])

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        return self.minibatch([i], None if eta is None else eta[None, None], x)


class Vae(Network):
    """Negative ELBO of an image: reconstruction in nats of 64 pixels, and KL of the code to N(0, I)."""

    def __init__(self, *, hidden: int, latent: int, warm_up: int, instance: int = 0) -> None:
        layers = [(64, hidden), (hidden, 2 * latent), (latent, hidden), (hidden, 64)]
        super().__init__(latent, layers, warm_up, instance)

    def loss(self, i: int, eta: Array) -> Tensor:
        image, (first, second, third, fourth) = self.images[i], self.layers
        code = second(torch.tanh(first(image)))
        mean, log_var = code[: self.k], code[self.k :]
        z = mean + torch.exp(log_var / 2) * torch.from_numpy(eta)
        p = torch.sigmoid(fourth(torch.tanh(third(z))))
        reconstruction = -(image * torch.log(p) + (1 - image) * torch.log(1 - p)).sum()
        return reconstruction + (mean**2 + torch.exp(log_var) - 1 - log_var).sum() / 2


class Mixup(Network):
    """Cross-entropy of an image mixed with a partner, both chosen by eta: a Beta weight and a uniform partner."""

    def __init__(self, *, hidden: int, alpha: float, warm_up: int, instance: int = 0) -> None:
        self.alpha = alpha
        super().__init__(2, [(64, hidden), (hidden, 10)], warm_up, instance)

    def loss(self, i: int, eta: Array) -> Tensor:
        share = float(beta.ppf(norm.cdf(eta[0]), self.alpha, self.alpha))
        j = min(int(np.floor(self.n * norm.cdf(eta[1]))), self.n - 1)
        first, second = self.layers
        logs = torch.log_softmax(second(torch.tanh(first(share * self.images[i] + (1 - share) * self.images[j]))), 0)
        return -share * logs[self.labels[i]] - (1 - share) * logs[self.labels[j]]
