"""Bayesian model averaging: the mean of the probabilities that a chain's networks give to held-out images, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.tasks.classification.images import LabelledImages
from bench.tasks.classification.metrics import ClassifierMetrics

BATCH = 1000  # images at a time
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
TINY = 1e-300  # a probability of 0 is taken for this, so that its logarithm is a number


class Average:
    """Sums of softmax probabilities over networks, on test images, on validation images if there are any, and on images of other classes.

    Beside them the sum of log-probabilities on test images: its softmax is that of the mean logits, what the released code of r2SGLD averages.

    Args:
        data: whose held-out images they are.
        other: uint8 [N, C, H, W] of another data set, in the size of the data's; none: no detection is measured.
        normalise: from uint8 images to a network's input.
        autocast: the precision of the forward passes.
    """

    def __init__(
        self,
        data: LabelledImages,
        other: Tensor | None,
        normalise: Callable[[Tensor], Tensor],
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._normalise, self._autocast = normalise, autocast
        self._images = {"test": data.test_x, "val": data.val_x, "other": other}
        self._images = {name: x for name, x in self._images.items() if x is not None and len(x)}
        self._labels = {"test": data.test_y, "val": data.val_y}
        self.models = 0
        self.sums: dict[str, Tensor] = {}  # [N, K], float64
        self.logs: Tensor | None = None  # [N, K]

    def __call__(self, model: nn.Module, collects: bool) -> dict[str, float]:
        """Take the network in if it is to be, and tell of it and of the average. Leaves the model in training mode.

        Returns:
            `test_brier` of the network alone; with one network or more in the average `bma_accuracy`, `bma_nll`, `bma_ece`, `bma_brier`,
            `bma_models`, `logit_average_excess` (how much more the NLL is where logits are averaged), and with other images `ood_auroc`.
            Those of validation images are `val_brier`, `bma_val_accuracy` and so on.
        """
        now = self._probabilities(model)
        if collects:
            self.models += 1
            self.sums = {name: self.sums[name] + p if name in self.sums else p for name, p in now.items()}
            logs = now["test"].clamp_min(TINY).log()
            self.logs = logs if self.logs is None else self.logs + logs
        labelled = [name for name in now if name in self._labels]
        figures = {f"{name}_brier": brier(now[name], self._labels[name]) for name in labelled}
        if self.models:
            for name in labelled:
                figures |= self._of_average(name, "bma" if name == "test" else f"bma_{name}")
            figures["bma_models"] = self.models
            of_logits = F.cross_entropy(self.logs / self.models, self._labels["test"]).item()  # type: ignore[arg-type, operator]
            figures["logit_average_excess"] = of_logits - figures["bma_nll"]
            if "other" in now:
                scores = (entropy(self.sums[name] / self.models) for name in ("test", "other"))
                figures["ood_auroc"] = auroc(*scores)
        return figures

    def _of_average(self, name: str, prefix: str) -> dict[str, float]:
        p, y = self.sums[name] / self.models, self._labels[name]
        metrics = ClassifierMetrics(y.device)
        metrics.update(p.clamp_min(TINY).log(), y)
        return metrics.read(prefix) | {f"{prefix}_brier": brier(p, y)}

    @torch.no_grad()
    def _probabilities(self, model: nn.Module) -> dict[str, Tensor]:
        model.eval()
        found = {}
        for name, images in self._images.items():
            parts = []
            for part in images.split(BATCH):  # type: ignore[union-attr]
                with self._autocast():
                    logits = model(self._normalise(part))
                parts.append(logits.double().softmax(1))
            found[name] = torch.cat(parts)
        model.train()
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"models": self.models, "sums": self.sums, "logs": self.logs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.models, self.sums, self.logs = state["models"], state["sums"], state["logs"]


def brier(p: Tensor, y: Tensor) -> float:
    """Mean over examples of sum_c (p_c - [y = c])^2, from 0 to 2 (Brier, 1950); p [N, K], y [N]."""
    return (p - F.one_hot(y, p.shape[1])).square().sum(1).mean().item()


def entropy(p: Tensor) -> Tensor:
    """Of each row of p [N, K], in nats."""
    return torch.special.entr(p).sum(1)


def auroc(low: Tensor, high: Tensor) -> float:
    """Area under the ROC curve: the chance that one of `high` [M] is above one of `low` [N], ties counted half. NaN if a score is."""
    if low.isnan().any() or high.isnan().any():
        return float("nan")
    ordered = low.sort().values
    below = torch.searchsorted(ordered, high.contiguous(), right=False)
    not_above = torch.searchsorted(ordered, high.contiguous(), right=True)
    return ((below + not_above).double().mean() / (2 * len(low))).item()


def in_the_form_of(x: Tensor, like: Tensor) -> Tensor:
    """Images uint8 [N, C, H, W] in the number of channels and the size of `like`: grey ones repeated, colours as their luma, resized bilinearly."""
    channels, size = like.shape[1], like.shape[2:]
    if x.shape[1] != channels:
        if x.shape[1] == 3:
            weights = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
            x = (x * weights).sum(1, keepdim=True)
        x = x[:, :1].expand(-1, channels, -1, -1)
    if x.shape[2:] != size:
        x = F.interpolate(x.float(), size=size, mode="bilinear", antialias=True)
    return x if x.dtype == torch.uint8 else x.round().clamp(0, 255).to(torch.uint8)
