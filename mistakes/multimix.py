"""Classic mistakes in mixing, planted one at a time. Tests of the rules notice each (tests/methods/mixing/test_mistakes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def new_partners() -> Iterator[None]:
    """Each k has a permutation of its own: repeated mixup, and no several points of one segment."""
    from methods.mixing import pairs
    from methods.mixing.composed import Composed
    from methods.mixing.interpolated import MultiMix

    def rows(order: Any, k: int) -> Any:
        return order.roll(k)

    def losses(self: Any, network: Any, x: Any, y: Any, loss: Any, generator: Any) -> Any:
        order, plan = self._drawn(network, x, y, loss, generator)
        for k in range(self.k):
            logits, own = self._forward(network, x, rows(order, k), plan, slice(k, k + 1))
            targets = right(pairs.one_hot(y, logits.shape[1]), rows(order, k), own)
            yield Composed._criterion(self, loss)(logits, targets) / self.k, len(y)

    def mix(x: Any, order: Any, weights: Any) -> Any:
        import torch

        return torch.cat([right(x, rows(order, k), weights[k : k + 1]) for k in range(len(weights))])

    right = pairs.mix
    with patch.object(MultiMix, "losses", losses), patch.object(pairs, "mix", mix):
        yield


@contextmanager
def in_place() -> Iterator[None]:
    """CutMix writes its boxes into the batch: each box shows in all that follow."""
    from methods.mixing import cutmix, interpolated

    right = cutmix.paste

    def paste(x: Any, order: Any, where: Any) -> Any:
        import torch

        found = []
        for k in range(len(where.top)):
            x.copy_(right(x, order, where.at(slice(k, k + 1))))
            found.append(x.clone())
        return torch.cat(found)

    with patch.object(cutmix, "paste", paste), patch.object(interpolated, "paste", paste):
        yield


@contextmanager
def unclipped_weight() -> Iterator[None]:
    """The label's weight is lambda, as if no box went beyond the image."""
    from methods.mixing.cutmix import Boxes

    def kept(self: Any) -> Any:
        tall = (self.bottom - self.top).amax() * (self.right - self.left).amax()
        return (1.0 - tall.double() / (self.height * self.width)).expand(self.top.shape)

    with patch.object(Boxes, "kept", property(kept)):
        yield


@contextmanager
def sorted_images() -> Iterator[None]:
    """lambda is put in order for the images, and left as it was drawn for the labels."""
    from methods.mixing import pairs
    from methods.mixing.interpolated import MultiMix

    right = pairs.mix

    def forward(self: Any, network: Any, x: Any, order: Any, plan: Any, ks: slice) -> Any:
        return network(right(x, order, plan.sort(0).values[ks])), plan[ks]

    def mix(x: Any, order: Any, weights: Any) -> Any:
        return right(x, order, weights.sort(0).values if x.dim() == 4 else weights)

    with patch.object(MultiMix, "_forward", forward), patch.object(pairs, "mix", mix):
        yield


@contextmanager
def averaged_logits() -> Iterator[None]:
    """One loss of the mean of the K logits and of the K labels."""
    from methods.mixing import pairs
    from methods.mixing.interpolated import MultiMix

    def losses(self: Any, network: Any, x: Any, y: Any, loss: Any, generator: Any) -> Any:
        order, plan = self._drawn(network, x, y, loss, generator)
        logits, own = self._forward(network, x, order, plan, slice(0, self.k))
        targets = pairs.mix(pairs.one_hot(y, logits.shape[1]), order, own)
        means = (rows.unflatten(0, (self.k, len(y))).mean(0) for rows in (logits, targets))
        yield self._criterion(loss)(*means), self.k * len(y)

    with patch.object(MultiMix, "losses", losses):
        yield


@contextmanager
def one_lambda() -> Iterator[None]:
    """The K copies share a lambda: mixup, K times over."""
    from methods.mixing import interpolated, pairs

    right = pairs.draw_weights

    def draw_weights(pairs_: int, k: int = 1, alpha: float = 1.0, **keys: Any) -> Any:
        return right(pairs_, k, alpha, **keys)[:1].expand(k, pairs_)

    with patch.object(pairs, "draw_weights", draw_weights), patch.object(interpolated, "draw_weights", draw_weights):
        yield


@contextmanager
def last_pass_alone() -> Iterator[None]:
    """BatchNorm's running statistics are of the last pass alone."""
    from methods.mixing.interpolated import MultiMix

    right = MultiMix._forward

    def forward(self: Any, network: Any, x: Any, order: Any, plan: Any, ks: slice) -> Any:
        kept = [m for m in self.model.modules() if getattr(m, "momentum", None) is not None]
        momenta = [m.momentum for m in kept]
        for m in kept:
            m.momentum = m.momentum if ks.stop == self.k else 0.0
        found = right(self, network, x, order, plan, ks)
        for m, momentum in zip(kept, momenta):
            m.momentum = momentum
        return found

    with patch.object(MultiMix, "_forward", forward):
        yield


@contextmanager
def mixed_tests() -> Iterator[None]:
    """Held-out images are mixed as training images are, their labels are not."""
    import torch

    from bench.tasks.classification.augment import Augmenter
    from methods.mixing.pairs import multimix

    right = Augmenter.normalise

    def normalise(self: Any, x: Any) -> Any:
        found = right(self, x)
        labels = torch.zeros(len(found), 1, device=found.device)
        return multimix(found, labels, 1, generator=torch.Generator(found.device).manual_seed(0))[0]

    with patch.object(Augmenter, "normalise", normalise):
        yield


@contextmanager
def summed_passes() -> Iterator[None]:
    """The losses of K passes are added up and not averaged: a step size that is K times too large."""
    from methods.mixing.interpolated import MultiMix

    right = MultiMix.losses

    def losses(self: Any, *args: Any) -> Any:
        for part, images in right(self, *args):
            yield part * (self.k if self.batch_norm == "passes" else 1), images

    with patch.object(MultiMix, "losses", losses):
        yield


@contextmanager
def drawn(change: Callable[[Any], Any], what: str = "lambdas") -> Iterator[None]:
    """Lambdas [draws, pairs, K] of the gradient's variance, changed after they were drawn."""
    from bench.tasks.classification.mixing_variance import Mixture

    right = Mixture.lambdas
    with patch.object(Mixture, what, lambda self, *shape, stream: change(right(self, *shape, stream=stream))):
        yield


@contextmanager
def inverse_alpha() -> Iterator[None]:
    """lambda ~ Beta(1 / alpha, 1 / alpha)."""
    from bench.tasks.classification.mixing_variance import Mixture

    right = Mixture._quantiles
    with patch.object(Mixture, "_quantiles", lambda self, u: right(replace(self, alpha=1 / self.alpha), u)):
        yield


@contextmanager
def batches(change: Callable[..., Any]) -> Iterator[None]:
    """Variances of batches, measured otherwise: `change(measured, mixture, ks, draws, batch=, shared=)`."""
    from bench.tasks.classification import gradient_probes

    right = gradient_probes.measured

    def measured(mixture: Any, ks: Any, draws: int, *, batch: int = 1, shared: bool = False) -> Any:
        return change(right, mixture, ks, draws, batch, shared)

    with patch.object(gradient_probes, "measured", measured):
        yield


def pairs_again(right: Callable[..., Any], mixture: Any, ks: Any, draws: int, batch: int, shared: bool) -> Any:
    """In a batch that is five times as large every pair is there five times."""
    if batch != 160:
        return right(mixture, ks, draws, batch=batch, shared=shared)
    (found,) = right(mixture, (1 if shared else 5,), draws, batch=32, shared=shared).values()
    return {1: found}


PLANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "new-partners": new_partners,
    "in-place": in_place,
    "unclipped-weight": unclipped_weight,
    "sorted-images": sorted_images,
    "averaged-logits": averaged_logits,
    "one-lambda": one_lambda,
    "last-pass-alone": last_pass_alone,
    "mixed-tests": mixed_tests,
    "summed-passes": summed_passes,
}  # tests of the rules notice each; claims judge runs, and so notice those that change a run's figures
VARIANCE = ("multimix/variance", {"method.alpha": 1.0, "method.optimizer.lr": 1e-12})
MISTAKES = [
    Mistake(
        "same-lambda",
        "the K interpolations of a pair share one lambda",
        *VARIANCE,
        lambda: drawn(lambda lam: lam[..., :1].expand(lam.shape)),
    ),
    Mistake(
        "each-lambda-twice",
        "every second interpolation repeats the one before",
        *VARIANCE,
        lambda: drawn(lambda lam: lam.repeat_interleave(2, -1)[..., : lam.shape[-1]]),
    ),
    Mistake("no-strata", "strata are independent draws", *VARIANCE, lambda: drawn(lambda lam: lam, "strata")),
    Mistake(
        "inverse-alpha",
        "lambda ~ Beta(1 / alpha, 1 / alpha)",
        "multimix/variance",
        {"method.alpha": 0.2, "method.optimizer.lr": 1e-12},
        inverse_alpha,
    ),
    Mistake(
        "own-lambdas",
        "a batch that shares its lambdas has one for each pair",
        *VARIANCE,
        lambda: batches(lambda right, m, ks, n, batch, shared: right(m, ks, n, batch=batch)),
    ),
    Mistake("pairs-again", "more pairs are the same pairs again", *VARIANCE, lambda: batches(pairs_again)),
    Mistake(
        "sorted-images",
        "lambda is sorted for the images and not for the labels",
        "multimix/training",
        {"method.k": 5},
        sorted_images,
    ),
    Mistake(
        "sorted-images-cifar100",
        "lambda is sorted for the images and not for the labels",
        "multimix/cifar100_k",
        {"method.k": 5},
        sorted_images,
    ),
    Mistake(
        "summed-passes",
        "losses of K passes are added up and not averaged",
        "multimix/identities",
        {"method.k": 5},
        summed_passes,
    ),
    Mistake(
        "small-step",
        "a step size that is 1,000 times too small",
        "multimix/cifar100_compute",
        {"method.k": 1},
        overrides=("method.optimizer.lr=1e-4",),
    ),
]
