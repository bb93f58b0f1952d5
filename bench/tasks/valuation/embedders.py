"""Embedders that need no training here: pixels, the published ResNet-20, features as they are, a function of a person's own.

`root` is data_root. All calls are differentiable; shapes: B points, d features.
"""

from __future__ import annotations

import hashlib
import inspect
from importlib import import_module
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bench.errors import UserError, in_one_line
from bench.models.cifar_resnet import PUBLISHED, PUBLISHED_MEAN, PUBLISHED_STD, load_published
from bench.tasks.valuation.points import Points
from bench.types import DottedName

SHA256 = "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8"  # of the published ResNet-20


class Normalisation:
    """(x / 255 - mean) / std of images in pixel units, [B, C, H, W] -> float32; x stays as it is."""

    def __init__(self, mean: tuple[float, ...] | list[float], std: tuple[float, ...] | list[float]) -> None:
        mean, std = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std))
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def __call__(self, x: Tensor) -> Tensor:
        return x.float() * self._scale.to(x.device) + self._shift.to(x.device)


def need_images(name: str, points: Points) -> None:
    """UserError where the points are features."""
    if not points.images:
        raise UserError(
            f"model = {name}: takes images, and these points are features; model=features_as_they_are takes them"
        )


def without_gradients(network: nn.Module, device: torch.device) -> nn.Module:
    """The network to be used and not trained: evaluation mode, gradients of its input alone."""
    return network.to(device).eval().requires_grad_(False)


class Pixels:
    """Normalised pixels, [B, C H W]."""

    cached = False  # as quick as reading them

    def __init__(self, root: str = "data") -> None:
        pass

    def prepare(self, points: Points, seed: int) -> None:
        need_images("pixels", points)
        self._normalise, self._facts = Normalisation(points.mean, points.std), f"pixels {points.mean} {points.std}"

    def identity(self) -> str:
        return self._facts

    def __call__(self, x: Tensor) -> Tensor:
        return self._normalise(x).flatten(1)


class FeaturesAsTheyAre:
    """The points' own features, [B, d]."""

    cached = False

    def __init__(self, root: str = "data") -> None:
        pass

    def prepare(self, points: Points, seed: int) -> None:
        if points.images:
            raise UserError(
                "model = features_as_they_are: these points are images; "
                "choose pixels, published_resnet20, small_cnn_embedder or digits_mlp_embedder"
            )

    def identity(self) -> str:
        return "features"

    def __call__(self, x: Tensor) -> Tensor:
        return x.float()


class PublishedResNet20:
    """He et al.'s ResNet-20 with the published CIFAR-10 weights (akamaster; 91.73 % on the test set), which has seen all training images with
    their right labels.

    Args:
        root: its folder `resnet_cifar10` holds the file of weights, known by its sha256.
        layer: logits (10), or features: what the last layer sees (64).
    """

    def __init__(self, root: str = "data", *, layer: Literal["logits", "features"] = "logits") -> None:
        self._root, self._layer = Path(root), layer
        self._normalise = Normalisation(PUBLISHED_MEAN, PUBLISHED_STD)

    def prepare(self, points: Points, seed: int) -> None:
        """Read the weights. UserError: not there, not the published ones, or images of another kind."""
        need_images("published_resnet20", points)
        if (shape := tuple(points.train_x.shape[1:])) != (3, 32, 32):
            raise UserError(f"model = published_resnet20: takes colour images of 32 x 32, these are {list(shape)}")
        path = self._root / "resnet_cifar10" / PUBLISHED[20]
        if path.is_file() and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != SHA256:
            raise UserError(f"{path} is not the published file: sha256 {found[:12]}..., not {SHA256[:12]}...; fetch it")
        network = load_published(self._root)
        if self._layer == "features":
            network.linear = nn.Identity()  # type: ignore[assignment]
        self._network = without_gradients(network, points.train_x.device)

    def identity(self) -> str:
        return f"published_resnet20 {SHA256} {self._layer}"

    def __call__(self, x: Tensor) -> Tensor:
        return self._network(self._normalise(x))


class EmbedderFunction:
    """A function of a person's own, by its dotted name: x [B, C, H, W] in pixel units, or features [B, d], float32 -> features [B, d'].

    Kept features are known by the function's name and the source of its module: weights that it reads from a file are not noticed.
    """

    def __init__(self, root: str = "data", *, function: DottedName | None = None) -> None:
        if function is None:
            raise ValueError("function = None: the dotted name of a function from images [B, C, H, W] to features")
        module, _, name = function.rpartition(".")
        self._name, self._module = function, import_module(module)
        self._function = getattr(self._module, name, None)
        if not callable(self._function):
            raise ValueError(f"function = '{function}': no function '{name}' in {module}")

    def prepare(self, points: Points, seed: int) -> None:
        """Does it give numbers for points? UserError: it does not, in one line."""
        try:
            found = self(points.train_x[:2])
        except Exception as error:
            raise UserError(
                f"model.function = '{self._name}': {type(error).__name__}: {in_one_line(error)}, for points of shape "
                f"{list(points.train_x[:2].shape)}"
            ) from error
        if found.ndim != 2 or len(found) != len(points.train_x[:2]):
            raise UserError(
                f"model.function = '{self._name}': gives shape {list(found.shape)} for points of shape "
                f"{list(points.train_x[:2].shape)}; a tensor [B, d] is expected"
            )

    def identity(self) -> str:
        file = inspect.getsourcefile(self._module)
        source = Path(file).read_bytes() if file else b""
        return f"function {self._name} {hashlib.sha256(source).hexdigest()}"

    def __call__(self, x: Tensor) -> Tensor:
        found = self._function(x.float())  # type: ignore[misc]
        if not isinstance(found, Tensor):
            raise TypeError(f"gives {type(found).__name__}, no tensor")
        return found.float()
