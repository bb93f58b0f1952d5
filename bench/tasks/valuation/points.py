"""What is valued: training points, some of them corrupted, beside a clean reference set. What a valuation data set returns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """N training points of K classes and M clean reference points; images in pixel units (0 to 255, uint8 or float) or features (float).

    Training images that noise took off the grid are float32, and may leave 0 to 255; reference and test images are what they were, uint8.

    Attributes:
        train_x: [N, C, H, W] or [N, d]; as valued, corruption and all.
        train_y: [N], int64; the labels that came with them, right or wrong.
        reference_x, reference_y: of the reference set, in the same form.
        num_classes: K.
        corrupted: [N], bool, the points that were tampered with; None where nobody knows.
        true_y: [N], the labels before they were; None where nobody knows.
        test_x, test_y: other clean points, on which networks that were trained on part of the training points are measured; None: none.
        mean, std: of each channel of the images, white is 1; empty for features.
        mirror: images may be mirrored.
        ids: N names for the table of values; None: 0, 1, ...
        class_names: K names for the table of values; empty: 0, 1, ...
        about: what was found in a person's own file, for the terminal.
    """

    train_x: Tensor
    train_y: Tensor
    reference_x: Tensor
    reference_y: Tensor
    num_classes: int
    corrupted: Tensor | None = None
    true_y: Tensor | None = None
    test_x: Tensor | None = None
    test_y: Tensor | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    mirror: bool = False
    ids: tuple[str, ...] | None = None
    class_names: tuple[str, ...] = ()
    about: str | None = None

    @property
    def images(self) -> bool:
        """Images rather than features."""
        return self.train_x.ndim == 4

    def to(self, device: torch.device | str) -> Points:
        """The same with its tensors on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)})  # type: ignore[arg-type]
