"""Probes of confidence: adaptive calibration error, reliability diagram, accuracy among the first five. Named in `task.probes`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.tasks.classification.probes import test_logits
from bench.tasks.classification.protocol import Trained

BINS = 15
FIRST = 5


def adaptive_ece(trained: Trained) -> dict[str, float]:
    """`test_adaptive_ece`: the calibration error of the test images over 15 bins that hold equally many, sorted by confidence.

    Reference: Nguyen and O'Connor (2015), posterior calibration by adaptive binning.
    """
    confidence, correct = _answers(trained)
    return {"test_adaptive_ece": equal_mass_ece(confidence, correct)}


def equal_mass_ece(confidence: Tensor, correct: Tensor, bins: int = BINS) -> float:
    """sum_b (n_b / n) |mean confidence - share that is correct|, the n sorted by confidence [n] and cut into bins whose sizes differ by at most 1."""
    order = confidence.argsort(stable=True)
    gaps = (confidence - correct.to(confidence.dtype))[order].tensor_split(bins)
    return (torch.stack([gap.sum().abs() for gap in gaps]).sum() / len(confidence)).item()


def reliability(trained: Trained) -> dict[str, float]:
    """The reliability diagram of the test images: of each of 15 bins of confidence, (k/15, (k+1)/15], that holds one or more, the mean
    `reliability_confidence_<bin>`, `reliability_accuracy_<bin>` (share) and `reliability_share_<bin>` of all images, bins from 01 to 15.

    sum_bin share |accuracy - confidence| is `test_ece`. Reference: Guo et al. (2017), eq. 1-3.
    """
    confidence, correct = _answers(trained)
    at = (confidence * BINS).ceil().long().clamp_(1, BINS) - 1
    sums = confidence.new_zeros(3, BINS)
    sums.index_add_(1, at, torch.stack([torch.ones_like(confidence), confidence, correct.to(confidence.dtype)]))
    found = {}
    for number, (count, of_confidence, of_correct) in enumerate(sums.T.tolist(), 1):
        if count:
            found[f"reliability_confidence_{number:02}"] = of_confidence / count
            found[f"reliability_accuracy_{number:02}"] = of_correct / count
            found[f"reliability_share_{number:02}"] = count / len(confidence)
    return found


def top5_accuracy(trained: Trained) -> dict[str, float]:
    """`test_top5_accuracy`: the share of test images whose class is among the five of highest logits; nothing with five classes or fewer."""
    logits, labels = test_logits(trained), trained.data.test_y
    if logits.shape[1] <= FIRST:
        return {}
    among = (logits.topk(FIRST, 1).indices == labels[:, None]).any(1)
    return {"test_top5_accuracy": among.double().mean().item()}


def _answers(trained: Trained) -> tuple[Tensor, Tensor]:
    """Confidence [N], float64, and whether the answer is right [N], of the test images."""
    confidence, predicted = F.softmax(test_logits(trained).double(), 1).max(1)
    return confidence, predicted == trained.data.test_y
