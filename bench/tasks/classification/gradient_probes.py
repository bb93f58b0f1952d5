"""Probes of the variance of mixup's gradient at the trained network, for the `alpha` of a method that mixes. Named in `task.probes`.

Networks are in evaluation mode: with batch statistics an image's gradient would depend on the others. Images are not augmented.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from bench.tasks.classification.mixing_variance import (
    Mixture,
    components,
    expected_loss,
    measured,
    network_gradients,
    stratified,
)
from bench.tasks.classification.protocol import Trained

KS = (1, 2, 5, 10, 20)
STRATA = 5
FEW = (1, 5)  # of the costlier probe
BATCH = 32  # pairs of a batch
MOST, LEAST, WORK = 8192, 256, 1 << 36  # pairs; multiplications of forward passes, roughly
DRAWS, FEWEST = 1024, 128  # batches
ALL_PAIRS = 16_384  # of 128 images: the expected loss goes over as many
SUBSET = 10_000  # training images at most that pairs are of, the first ones
EACH = 20 + 5 + 32  # interpolations of a pair: the largest K, strata, and the quantiles of the components


def gradient_variance(trained: Trained) -> dict[str, float]:
    """Variance of the gradient of one pair with K interpolations, summed over the parameters: `gradient_variance_k<K>`, K = 1, 2, 5, 10, 20.

    Beside it `gradient_variance_ratio_k<K>` to K = 1, the largest ratio of one K to the K before, `gradient_variance_rise`, and
    `gradient_variance_ratio_stratified_k5` where each fifth of lambda's law gives one, over that of independent ones
    `gradient_variance_stratified_gain`;
    the law's components `gradient_variance_pairs`, `_lambda` and `_interaction`, with what they predict, `gradient_variance_predicted_k<K>`;
    `gradient_variance_off_law`, the largest relative distance of the two; `gradient_variance_off_line`, that of the measured ones from the
    straight line in 1/K that fits them best.
    See mixing_variance for the law. 8192 pairs of the first 10,000 training images; of networks that take more work fewer, at least 256.
    """
    with _frozen(trained) as mixture:
        count = _pairs(trained, mixture, EACH)
        found, parts = measured(mixture, KS, count), components(mixture, count)
        in_strata = stratified(mixture, STRATA, count)
    predicted = {k: parts.predicted(k) for k in KS}
    row = {f"gradient_variance_k{k}": found[k] for k in KS}
    row |= {f"gradient_variance_ratio_k{k}": found[k] / found[1] for k in KS[1:]}
    row |= {f"gradient_variance_predicted_k{k}": predicted[k] for k in KS}
    row |= {
        "gradient_variance_rise": max(found[k] / found[before] for before, k in pairwise(KS)),
        f"gradient_variance_ratio_stratified_k{STRATA}": in_strata / found[1],
        "gradient_variance_stratified_gain": in_strata / found[STRATA],
        "gradient_variance_pairs": parts.pairs,
        "gradient_variance_lambda": parts.lam,
        "gradient_variance_interaction": parts.interaction,
        "gradient_variance_off_law": max(abs(found[k] / predicted[k] - 1) for k in KS),
        "gradient_variance_off_line": off_line(found),
    }
    return row


def batch_gradient_variance(trained: Trained) -> dict[str, float]:
    """The same of a batch of 32 pairs, K = 1 and 5: `batch_variance_k<K>` with lambdas of each pair, `batch_variance_shared_k<K>` with those
    of the batch, each beside `..._predicted_k<K>`; and of 160 pairs with one lambda, as many forward passes as K = 5 takes,
    `batch_variance_equal_compute` and `batch_variance_shared_equal_compute`.

    Of these the ratios of K = 5 to K = 1, `..._ratio_k5`, and of equal compute to K = 5, `..._equal_compute_ratio`; the ratio to K = 1 with
    shared lambdas over that without, `batch_variance_shared_gain`; and `batch_variance_off_law`, the largest relative distance to a prediction.
    """
    most = max(FEW)
    with _frozen(trained) as mixture:
        count = min(DRAWS, _pairs(trained, mixture, BATCH * 4 * most, least=FEWEST))
        parts = components(mixture, 8 * count, levels=16)
        row: dict[str, float] = {}
        distances = []
        for shared, name in ((False, "batch_variance"), (True, "batch_variance_shared")):
            found = measured(mixture, FEW, count, batch=BATCH, shared=shared)
            predicted = {k: parts.predicted(k, BATCH, shared) for k in FEW}
            (equal,) = measured(mixture, (1,), count, batch=BATCH * most, shared=shared).values()
            distances += [abs(found[k] / predicted[k] - 1) for k in FEW]
            row |= {f"{name}_k{k}": found[k] for k in FEW} | {f"{name}_predicted_k{k}": predicted[k] for k in FEW}
            row |= {f"{name}_ratio_k{most}": found[most] / found[1], f"{name}_equal_compute": equal}
            row[f"{name}_equal_compute_ratio"] = equal / found[most]
    row["batch_variance_shared_gain"] = (
        row[f"batch_variance_shared_ratio_k{most}"] / row[f"batch_variance_ratio_k{most}"]
    )
    return row | {"batch_variance_off_law": max(distances)}


def mixup_loss(trained: Trained) -> dict[str, float]:
    """`mixup_loss`: the cross-entropy of mixup of the training images, which training draws one sample a step of: its mean over pairs and over
    quantiles of lambda. All ordered pairs of up to 128 images, of more images 16,384 drawn ones.
    """
    with _frozen(trained) as mixture:
        return {"mixup_loss": expected_loss(mixture, trained.model, ALL_PAIRS)}


def off_line(variances: dict[int, float]) -> float:
    """Largest relative distance of variances by K from their least-squares line in 1/K."""
    ks = torch.tensor(list(variances), dtype=torch.float64)
    values = torch.tensor(list(variances.values()), dtype=torch.float64)
    design = torch.stack([torch.ones_like(ks), 1 / ks], 1)
    line = design @ torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
    return (values / line - 1).abs().max().item()


@contextmanager
def _frozen(trained: Trained) -> Iterator[Mixture]:
    """The training images' mixture as the network sees it in evaluation mode; in training mode again afterwards."""
    data, model = trained.data, trained.model
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    labels = data.train_y[:SUBSET]
    x = trained.images.plain(torch.arange(len(labels), device=labels.device)).contiguous()
    alpha = float(getattr(trained.method, "alpha", 1.0))
    model.eval()
    try:
        yield Mixture(x, labels, data.num_classes, alpha, network_gradients(model), parameters, trained.seed)
    finally:
        model.train()


def _pairs(trained: Trained, mixture: Mixture, interpolations: int, least: int = LEAST) -> int:
    """As many as the work allows; a convolution's parameters work at every pixel."""
    work = mixture.parameters * trained.data.train_x[0, 0].numel() * interpolations
    return min(MOST, max(least, WORK // work))
