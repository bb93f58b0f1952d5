"""What was learnt from private images, in one file to take away: a zip of diffusers' and peft's own formats, and of the samples."""

from __future__ import annotations

import json
import math
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from bench.models.unet import Denoiser
from bench.run.atomic import write_atomic
from bench.run.files import MODEL, beside
from bench.tasks.generation.autoencoder import Autoencoder
from bench.tasks.generation.diffusion import Schedule
from bench.tasks.generation.export import save_adapters, save_base, save_network
from bench.tasks.generation.ledger import UNIT, Ledger
from bench.tasks.generation.pair import Pair


def write_model(
    folder: Path,
    network: nn.Module | None,
    schedule: Schedule,
    autoencoder: Autoencoder | None,
    ledger: Ledger | None,
    pair: Pair,
    samples: tuple[Tensor, Tensor],
) -> Path:
    """model.zip in a run's folder; the path of what was written, which is put in its place with the result. docs/private.md loads it.

    `network`, the denoiser with adapters merged; `base` and `adapters`, the same apart, where there are adapters; `scheduler`; `autoencoder`, of a
    run on latents, whose config has the factor from its means to latents; `samples.npz`, x uint8 [n, C, S, S] and y int64 [n]; `about.json`, how all
    this is called and what is guaranteed. A method whose network is no `Denoiser` leaves samples and `about.json` alone.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if isinstance(network, Denoiser):
            save_network(network, root / "network")
            if hasattr(network.net, "peft_config"):
                save_base(network, root / "base")
                save_adapters(network, root / "adapters")
            schedule.scheduler().save_pretrained(root / "scheduler")
            if autoencoder is not None:
                autoencoder.save(root / "autoencoder")
        x, y = (part.cpu().numpy() for part in samples)
        np.savez_compressed(root / "samples.npz", x=x, y=y)
        about = _calls(network, schedule, pair) | {"privacy": guarantee(ledger)}
        (root / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        path = folder / (MODEL + beside(folder))
        write_atomic(path, lambda file: _zip(file, root))
    return path


def _calls(network: nn.Module | None, schedule: Schedule, pair: Pair) -> dict[str, Any]:
    """`patch`: what is denoised is folded by pixel_unshuffle; `classes`: given by index [n], as one-hot tokens [n, 1, k], or not at all."""
    if not isinstance(network, Denoiser):
        return {}
    given = None if not network.num_classes else "index" if network.context is None else "one_hot"
    sampler = {"sampling_steps": schedule.sampling_steps, "eta": schedule.eta}
    return {"patch": network.patch, "classes": given, "class_names": list(pair.class_names), **sampler}


def guarantee(ledger: Ledger | None) -> dict[str, Any]:
    """What may be said of the privacy of what is taken away: `epsilon` is null where nothing is guaranteed, or nothing private was touched by a ledger."""
    if ledger is None or not math.isfinite(spent := ledger.epsilon()):
        return {"epsilon": None, "delta": None}
    against = "everyone" if ledger.secure else "whoever does not know the seed"
    terms = {"noise_multiplier": ledger.noise_multiplier, "rate": ledger.rate, "releases": ledger.released}
    return {"epsilon": spent, "delta": ledger.delta, "neighbours": UNIT, "against": against, **terms}


def _zip(file: Any, root: Path) -> None:
    with zipfile.ZipFile(file, "w") as packed:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(root))
