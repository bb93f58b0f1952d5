"""Small networks on digits as finite sums with infinite data: a VAE's reparameterisation noise, mixup's random mixtures.

Their moments are not known in closed form but measured (bench.tasks.doubly_stochastic.budget), and they have no known optimum: V is taken at parameters after a
short training. See datasets.sums.base. float64; x is the flat vector of parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import betaincinv, ndtr
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from bench.seeding import generator, stream_seed
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt
from datasets.sums.base import Batch, NoisySum

CHUNK = 256  # minibatches whose gradients are formed at once


class _Network(NoisySum):
    """A network's loss of one image and one noise vector, from a flat vector of parameters."""

    has_optimum = False
    minibatch_dims: int  # of the first tensor of a batch, for one minibatch

    def _set_up(self, build: Callable[[], nn.Module], instance: int, steps: int, device: torch.device | str) -> None:
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

    def _call(self, x: Tensor, *inputs: Tensor) -> Tensor:
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
            return grad(self._mean_loss)(x, *batch)
        flat = [t.flatten(0, len(lead) - 1) for t in batch]
        found = vmap(grad(self._mean_loss), in_dims=(None, *[0] * len(flat)), chunk_size=CHUNK)(x, *flat)
        return found.view(*lead, self.dim)

    def _mean_loss(self, x: Tensor, *batch: Tensor) -> Tensor:
        """Mean loss of one minibatch."""
        raise NotImplementedError

    def moments(self, x: Tensor, rho: float) -> None:
        """Not known: to be measured."""
        return None


class _Vae(nn.Module):
    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, 64))

    def forward(self, image: Tensor, eta: Tensor) -> Tensor:
        """Negative ELBO [b] of images [b, 64] averaged over m draws eta [b or 1, m, latent]."""
        mean, log_var = self.encoder(image).chunk(2, -1)
        z = mean[:, None] + (log_var / 2).exp()[:, None] * eta
        logits = self.decoder(z)
        target = image[:, None].expand_as(logits)
        reconstruction = binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1).mean(-1)
        return reconstruction + (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2


class DigitsVAE(_Network):
    """A small variational autoencoder on scikit-learn's digits: f_i(x; eta) is image i's negative ELBO with latent noise eta.

    Args:
        device: where tensors live.
        hidden, latent: widths of the hidden layer and of the code.
        warm_up: training steps before V is taken.
        instance: seed of initialisation and training.
    """

    minibatch_dims = 2

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        hidden: PositiveInt = 16,
        latent: PositiveInt = 4,
        warm_up: NonNegativeInt = 200,
        instance: NonNegativeInt = 0,
    ) -> None:
        images, _ = _digits()
        self._images = images.to(device)
        self.num_components, self.noise_dim = len(images), latent
        self._set_up(lambda: _Vae(hidden, latent), instance, warm_up, device)

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """Images [..., b, 64] and noise [..., b or 1, m, latent]."""
        assert noise is not None, "the expectation is not known"
        return self._images[index], noise

    def _mean_loss(self, x: Tensor, *batch: Tensor) -> Tensor:
        return self._call(x, *batch).mean()


class DigitsMixup(_Network):
    """Mixup on scikit-learn's digits: f_i(x; eta) is the cross-entropy of image i mixed with another one; eta holds weight and partner.

    lambda = I^-1(Phi(eta_1); alpha, alpha), Beta-distributed, and the partner is number floor(n Phi(eta_2)): shared noise is one lambda
    and one partner for the minibatch.

    Args:
        device: where tensors live.
        hidden: width of the hidden layer.
        alpha: of the Beta distribution.
        warm_up: training steps before V is taken.
        instance: seed of initialisation and training.
    References: Zhang et al., 2018, "mixup: Beyond Empirical Risk Minimization".
    """

    minibatch_dims = 3

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        hidden: PositiveInt = 16,
        alpha: PositiveFloat = 1.0,
        warm_up: NonNegativeInt = 200,
        instance: NonNegativeInt = 0,
    ) -> None:
        images, labels = _digits()
        self._images = images.to(device)
        self._targets = torch.eye(10, dtype=torch.float64)[labels].to(device)
        self.num_components, self.noise_dim, self._alpha = len(images), 2, alpha
        build = lambda: nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 10))  # noqa: E731
        self._set_up(build, instance, warm_up, device)

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """Mixed images [..., b, m, 64] and targets [..., b, m, 10]."""
        assert noise is not None, "the expectation is not known"
        uniform = ndtr(noise.cpu().numpy())
        share = torch.from_numpy(np.asarray(betaincinv(self._alpha, self._alpha, uniform[..., 0]))).to(self._images)
        partner = torch.from_numpy((uniform[..., 1] * self.num_components).astype(np.int64)).to(self._images.device)
        partner, share = partner.clamp(max=self.num_components - 1), share[..., None]
        return tuple(share * t[index][..., None, :] + (1 - share) * t[partner] for t in (self._images, self._targets))

    def _mean_loss(self, x: Tensor, *batch: Tensor) -> Tensor:
        images, targets = batch
        return -(targets * log_softmax(self._call(x, images), -1)).sum(-1).mean()


def _digits() -> tuple[Tensor, Tensor]:
    """1,797 images [n, 64] with values in [0, 1], and labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16), torch.from_numpy(labels).long()
