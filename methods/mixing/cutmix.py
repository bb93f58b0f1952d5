"""CutMix: a box of the partner's image in each image, labels by the share of pixels that are left; K boxes a pair.

References: Yun et al., 2019, arXiv 1905.04899 (CutMix); Shen et al., 2024, arXiv 2406.01417 (several boxes of a pair).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.mixing.pairs import check_batch, draw_order, draw_weights, mix, one_hot


@dataclass(frozen=True)
class Boxes:
    """Rows top to bottom (exclusive), columns left to right, integers [k, B]; the images' height and width."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor
    height: int
    width: int

    @property
    def kept(self) -> Tensor:
        """The share of an image's pixels outside its box, after clipping: float64 [k, B]."""
        area = (self.bottom - self.top) * (self.right - self.left)
        return 1.0 - area.double() / (self.height * self.width)

    @property
    def inside(self) -> Tensor:
        """Is a pixel in the box? [k, B, H, W]"""
        rows, columns = (torch.arange(n, device=self.top.device) for n in (self.height, self.width))
        in_rows = (rows >= self.top[..., None]) & (rows < self.bottom[..., None])
        in_columns = (columns >= self.left[..., None]) & (columns < self.right[..., None])
        return in_rows[..., :, None] & in_columns[..., None, :]

    def at(self, ks: slice) -> Boxes:
        """Those of some of the k."""
        return Boxes(self.top[ks], self.bottom[ks], self.left[ks], self.right[ks], self.height, self.width)


def boxes(weights: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> Boxes:
    """Boxes with sides sqrt(1 - lambda) H and W round centres (row, column), clipped at the image's border; all [k, B]."""
    half = 0.5 * (1.0 - weights).sqrt()
    tall, wide = (half * height).long(), (half * width).long()
    return Boxes(
        (rows - tall).clamp_min(0),
        (rows + tall).clamp_max(height),
        (columns - wide).clamp_min(0),
        (columns + wide).clamp_max(width),
        height,
        width,
    )


def draw_boxes(
    weights: Tensor, height: int, width: int, *, shared: bool = False, generator: torch.Generator | None = None
) -> Boxes:
    """Boxes of lambda [k, B], each with a centre of its own, uniform over the image; shared: one box for all pairs of a k."""
    k, pairs = weights.shape
    keys = {"size": (k, 1 if shared else pairs), "generator": generator, "device": weights.device}
    columns, rows = torch.randint(width, **keys), torch.randint(height, **keys)  # type: ignore[arg-type]
    return boxes(weights, rows.expand(k, pairs), columns.expand(k, pairs), height, width)


def paste(x: Tensor, order: Tensor, where: Boxes) -> Tensor:
    """x [B, C, H, W] with the boxes of x[order] in it: [k B, C, H, W]; x itself stays as it is."""
    return torch.where(where.inside[:, :, None], x[order], x).flatten(0, 1)


def cutmix(
    x: Tensor,
    y: Tensor,
    k: int = 1,
    alpha: float = 1.0,
    *,
    num_classes: int | None = None,
    shared_lambda: bool = False,
    stratified: bool = False,
    where: Boxes | None = None,
    order: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """k images of each pair, a box of the partner in each.

    Args:
        x: images [B, C, H, W].
        y: probabilities [B, C], or labels [B] with `num_classes`.
        shared_lambda: one lambda_k and one box for all pairs.
        where: the boxes in place of what would be drawn.
        order: the partners [B] in place of what would be drawn.
    Returns:
        x~ [k B, C, H, W] and y~ [k B, C].
    Raises:
        ValueError: as multimix; x is not [B, C, H, W].
    """
    if x.dim() != 4:
        raise ValueError(f"x of shape {list(x.shape)}: images [B, C, H, W]")
    check_batch(x, y)
    n, device = len(x), x.device
    order = draw_order(n, generator, device) if order is None else order
    if where is None:
        keys = {"shared": shared_lambda, "generator": generator}
        weights = draw_weights(n, k, alpha, stratified=stratified, device=device, **keys)  # type: ignore[arg-type]
        where = draw_boxes(weights, *x.shape[-2:], **keys)  # type: ignore[arg-type]
    return paste(x, order, where), mix(one_hot(y, num_classes), order, where.kept)
