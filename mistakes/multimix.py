"""Classic mistakes in mixing, planted one at a time. Tests of the rules notice each (tests/methods/mixing/test_mistakes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


PLANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "new-partners": new_partners,
    "in-place": in_place,
    "unclipped-weight": unclipped_weight,
    "sorted-images": sorted_images,
    "averaged-logits": averaged_logits,
    "one-lambda": one_lambda,
    "last-pass-alone": last_pass_alone,
    "mixed-tests": mixed_tests,
}
MISTAKES: list[Mistake] = []  # those of runs, of which claims judge: none before there are claims
