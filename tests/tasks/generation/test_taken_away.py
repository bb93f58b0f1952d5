"""model.zip of a run: diffusers and peft alone load it and draw the run's own samples; it is there where it must be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from conftest import ROOT, clean_env, result_of
from PIL import Image
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from bench.libraries import diffusers, peft
from bench.seeding import generator
from bench.tasks.generation.loop import SAMPLING

LINE = [
    "dataset=private_digits", "scale=smoke", "task.pretraining_steps=3", "task.autoencoder_steps=3", "task.feature_steps=2",
    "task.sampling_steps=4", "task.classifier_epochs=1", "seeds=[3]", "task.samples=20", "task.membership=0",
]  # fmt: skip
DP = ["method.accountant=rdp"]
OURS = {"base", "adapters"}


def taken(folder, tmp_path):
    """The names at the top of what was unpacked, and where."""
    zipfile.ZipFile(folder / "model.zip").extractall(tmp_path / "model")
    return sorted(path.name for path in (tmp_path / "model").iterdir()), tmp_path / "model"


@torch.no_grad()
def drawn(net, root, y: Tensor) -> Tensor:
    """Images in [-1, 1] by libraries alone, from the run's own noise."""
    scheduler = diffusers().DDIMScheduler.from_pretrained(root / "scheduler")
    scheduler.set_timesteps(4)
    stream, patch = generator(3, "noise", SAMPLING, 0), json.loads((root / "about.json").read_text())["patch"]
    size, channels = patch * net.config.sample_size, net.config.in_channels // patch**2
    fresh = lambda: pixel_unshuffle(torch.randn(len(y), channels, size, size, generator=stream), patch)  # noqa: E731
    x = fresh()
    for t in scheduler.timesteps:
        noise = net(x, t, y, return_dict=False)[0]
        x = scheduler.step(noise, t, x, eta=1.0, use_clipped_model_output=True, variance_noise=fresh()).prev_sample
    x = pixel_shuffle(x, patch)
    if (root / "autoencoder").exists():
        decoder = diffusers().AutoencoderKL.from_pretrained(root / "autoencoder").eval()
        x = decoder.decode(x / decoder.config.scaling_factor).sample
    return x


def close(images: Tensor, x: np.ndarray) -> bool:
    """Equal but for rounding to bytes."""
    return bool((((images.clamp(-1, 1) + 1) * 127.5) - torch.from_numpy(x).float()).abs().max() < 1.01)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (["method=dplora", *DP], {"network", "scheduler", *OURS}),
        (["method=dp_full", *DP, "task.space=latent", "model.widths=[32]", "model.attention=[true]"], {"network", "scheduler", "autoencoder"}),
        (["method=dp_mepf", *DP], set()),
    ],
)  # fmt: skip
def test_libraries_alone_draw_the_run_s_samples(go, line, names, tmp_path):
    (folder,) = go(*line, *LINE, "task.save_model=true")
    found, root = taken(folder, tmp_path)
    assert found == sorted({"about.json", "samples.npz", *names})
    told, metrics = json.loads((root / "about.json").read_text())["privacy"], result_of(folder)["metrics"]
    assert (told["epsilon"], told["delta"]) == (metrics["epsilon"], metrics["delta"])
    assert told["against"] == "whoever does not know the seed"
    samples = np.load(root / "samples.npz")
    x, y = samples["x"], torch.from_numpy(samples["y"])
    assert x.shape == (20, 1, 8, 8)
    assert y.tolist() == [k % 5 for k in range(20)]
    if not names:
        return
    net = diffusers().UNet2DModel.from_pretrained(root / "network").eval()
    assert close(drawn(net, root, y), x)
    if "adapters" in names:
        base = diffusers().UNet2DModel.from_pretrained(root / "base").eval()
        assert not close(drawn(base, root, y), x)
        assert close(drawn(peft().PeftModel.from_pretrained(base, root / "adapters").eval(), root, y), x)


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        (["dataset=private_digits", "model.context=8"], (10, 1, 8, 8)),
        (["dataset=private_digits", "task.space=latent", "model.widths=[32]", "model.attention=[true]"], (10, 1, 8, 8)),
        (["dataset=private_folder", "dataset.image_size=8", "method.batch_size=4"], (10, 3, 8, 8)),
    ],
    ids=["context", "latent", "unlabelled"],
)  # fmt: skip
def test_the_page_s_lines_draw_images_in_a_process_of_their_own(go, more, shape, tmp_path):
    for k in range(24):
        path = tmp_path / ("public", "private")[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 8), (9 * k, 100, 0)).save(path)
    own = [f"dataset.path={tmp_path}"] if "dataset=private_folder" in more else []
    (folder,) = go("method=dplora", *DP, *LINE[1:], *more, *own, "task.save_model=true")
    taken(folder, tmp_path)
    page = (ROOT / "docs/private.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", page[page.index("## Taking the model away") :], re.S)
    (alone,) = re.findall(r"`(import sys; [^`]+)`", page)
    script = f"{alone}\n{lines}\nprint(tuple(images.shape), bool(images.isfinite().all()))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, env=clean_env(), text=True, capture_output=True)  # fmt: skip
    assert done.stdout == f"{shape} True\n", done.stderr[-2000:]


def test_of_secure_releases_it_is_always_kept(go, tmp_path):
    (folder,) = go("method=dplora", *DP, *LINE, "method.secure=true")
    told = json.loads((taken(folder, tmp_path)[1] / "about.json").read_text())["privacy"]
    assert told["against"] == "everyone"


def test_without_privacy_nothing_is_guaranteed(go, tmp_path):
    (folder,) = go("method=lora", *LINE, "task.save_model=true")
    first = (folder / "model.zip").stat().st_mtime_ns
    assert json.loads((taken(folder, tmp_path)[1] / "about.json").read_text())["privacy"]["epsilon"] is None
    go("method=lora", *LINE, "task.save_model=true", "force=true")
    assert (folder / "model.zip").stat().st_mtime_ns > first
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".new") == []
    assert not list(go("method=lora", *LINE)[0].glob("model*"))
