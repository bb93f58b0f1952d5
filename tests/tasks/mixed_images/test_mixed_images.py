"""The images that are shown are those that a network is trained on, of the pair and weight that stand beside them; through the real program."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import QUIET, final, whole_and_resumed
from mixing_points import Recorder as Noted
from mixing_points import batch, convolutional, given, network
from PIL import Image
from reference.classification import Images, Protocol
from torch import nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.curve import read_metrics
from bench.run.options import options, read_yaml
from bench.run.paths import CONF
from bench.run.runner import execute
from bench.seeding import generator
from bench.tasks.mixed_images.recorded import Recorder, mixes

DIGITS = ("dataset=digits_pairs", "scale=smoke")
PAIRED = ("mixup", "multimix", "cutmix", "multimix_cutmix", "puzzle_mix", "multimix_puzzle")
RULES = [n for n in options("method") if "methods.mixing." in read_yaml(CONF / "method" / f"{n}.yaml")["_target_"]]
SIZE = 8


def pixels(row: dict) -> np.ndarray:
    """[C, H, W] of a row's image."""
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["thumbnail"]))))
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


@pytest.fixture
def shown(job, go):
    """(rows, final metrics, the pictures [B, C, H, W] of the first minibatch in pixels, their labels, the partners) of a run on digits; minibatch
    and partners as made by tests/reference."""

    def run(*overrides: str) -> tuple[list[dict], dict, np.ndarray, torch.Tensor, list[int]]:
        line = (*overrides, *DIGITS, "seeds=[3]")
        folders = go(*line)
        data = build("dataset", job(*line).parts["dataset"], "", 3)
        x, y = Images(data, Protocol(batch_size=16), 3).minibatch(0, 0)
        pictures = (x.double().numpy() * np.array(data.std)[:, None, None] + np.array(data.mean)[:, None, None]) * 255
        order = torch.randperm(16, generator=generator(3, "mix", 0, 0)).tolist()
        return read_metrics(folders[0]), final(folders)[0], pictures, y, order

    return run


def test_multimix_shows_points_of_the_segment_between_two_images(shown):
    rows, found, x, y, order = shown("method=multimix", "task.pairs=3")
    g = generator(3, "mix", 0, 0)
    torch.randperm(16, generator=g)
    lam = torch.rand(5, 16, generator=g, dtype=torch.float64).numpy()
    assert [(row["pair"], row["place"]) for row in rows] == [(i, k) for i in (1, 2, 3) for k in range(7)]
    for row in rows:
        i, k = row["pair"] - 1, row["place"]
        j, w = order[i], lam[k - 1, i] if 1 <= k <= 5 else float(k == 0)
        same = pytest.approx(w, abs=1e-7)
        assert row["weight"] == same
        assert row["label"] == (f"{w:.2f} : {1 - w:.2f}" if 1 <= k <= 5 else str(int(y[i] if k == 0 else y[j])))
        assert np.abs(pixels(row) - (w * x[i] + (1 - w) * x[j])).max() <= 0.51, "rounded to whole pixels"
    lam[:, np.array(order) == np.arange(16)] = 1  # its own partner
    assert found["weight"] == pytest.approx(lam.mean(), abs=1e-7)
    assert found["interpolations"] == 5
    assert found["off_segment"] < 1e-6


def test_cutmix_shows_pixels_of_either_image_and_the_weight_is_their_share(shown):
    rows, found, x, _, order = shown("method=multimix_cutmix", "task.pairs=16", "method.k=3")
    apart = []
    for i in range(16):
        own, other = x[i], x[order[i]]
        for row in rows[5 * i + 1 : 5 * i + 4]:
            seen = pixels(row).astype(float)
            mine, theirs = (np.abs(seen - one).max(0) <= 0.51 for one in (own, other))
            assert (mine | theirs).all()
            assert (theirs & ~mine).sum() <= round(SIZE**2 * (1 - row["weight"])) <= theirs.sum()
            point = row["weight"] * own + (1 - row["weight"]) * other
            apart.append(((seen - point) / 255) ** 2)
    assert found["off_segment"] == pytest.approx(np.sqrt(np.mean(apart)), abs=0.005)
    assert found["off_segment"] > 0.02


def test_images_that_are_not_mixed_are_shown_as_they_are(shown):
    for method in ("unmixed", "sgd"):
        rows, found, x, y, _ = shown(f"method={method}", "task.pairs=2")
        assert [(row["pair"], row["place"], row["label"]) for row in rows] == [
            (i + 1, 0, str(int(y[i]))) for i in (0, 1)
        ]
        assert all(np.abs(pixels(row) - x[i]).max() <= 0.51 for i, row in enumerate(rows))
        assert found == {"weight": 1.0, "interpolations": 1, "off_segment": 0.0, "gradient_evaluations": 0}
    rows, found, x, *_ = shown("method=augmix", "task.pairs=1")
    assert [row["label"] for row in rows][1:] == ["version 1", "version 2"]
    assert np.abs(pixels(rows[0]) - x[0]).max() <= 0.51
    assert not np.array_equal(pixels(rows[1]), pixels(rows[2]))
    assert found["interpolations"] == 3


@pytest.mark.parametrize("name", RULES)
def test_what_is_recorded_is_what_a_network_is_trained_on(name):
    """The same method, as classification asks it, on a network that notes its images: true labels, the task's cross-entropy."""
    keys = {"layers": [0]} if "manifold" in name else {"transport": True} if name == "puzzle_mix" else {}
    keys |= {"blocks": [4]} if "puzzle" in name else {}
    x, y = batch(6)
    x, y = x / 3, y.flip(0)  # labels that are no number of their image
    noted = Noted(convolutional())
    for loss, _ in given(name, noted, torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), **keys).losses(
        noted, x, y, F.cross_entropy, torch.Generator().manual_seed(7)
    ):
        loss.backward()
    seen = noted.seen[1:] if "puzzle" in name else noted.seen  # the first pass is the saliency's
    model = convolutional()
    method = given(name, model, torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), **keys)
    found = mixes(method, model, x, y, 4, lambda: torch.Generator().manual_seed(7))
    assert torch.equal(found.images.flatten(0, 1), torch.cat(seen))
    assert found.paired == (name not in ("unmixed", "augmix", "label_smoothing", "cutout"))
    assert all(p.grad is None for p in model.parameters())
    if found.paired:
        partners = torch.randperm(6, generator=torch.Generator().manual_seed(7))
        known = (found.weights < 1).any(0)  # one that has no pixel in any mix is not known
        assert known.sum() >= 4
        assert torch.equal(found.partners[known], partners[known])


def test_a_partner_is_known_from_the_interpolations_that_have_any_of_it():
    recorder = Recorder(nn.Identity(), torch.tensor([0, 1, 1]), 2)
    x = torch.rand(3, 1, 2, 2)
    for shares in ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 1]]):
        recorder.network(torch.rand(3, 2))
        recorder.passes[-1].images = torch.rand(3, 1, 2, 2)
        recorder.loss(torch.zeros(3, 5), torch.cat([torch.zeros(3, 2), torch.tensor(shares)], 1))
    found = recorder.mixes(x)
    assert found.partners.tolist() == [1, 0, 2]
    assert found.weights.tolist() == [[1, 1, 1], [0.75, 0.5, 1]]


def test_a_saliency_is_of_the_true_labels():
    model, (x, y) = network(nn.Flatten(), nn.Linear(192, 4)), batch(6)
    y = y.flip(0)
    recorder = Recorder(model, y, 4)
    loss = recorder.loss(recorder.network(x), recorder.numbers)
    assert loss.item() == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("method=multimix", "method.loss=bce"), "method.loss: .* use ce$"),
        (("method=multimix_manifold", "method.layers=[1]"), r"method.layers: features .*method.layers=\[0\]"),
        (("method=manifold_mixup", "method.layers=[2]"), r"method.layers: features .*method.layers=\[0\]"),
        (("method=multimix", "task.pairs=17"), "task.pairs = 17: more than task.batch_size = 16"),
        (("method=multimix", "task.batch_size=2000"), "task.batch_size = 2000: more than the 1437 training images"),
        (("method=multimix", "task.crop_padding=9"), "task.crop_padding = 9: more than the images' 8 pixels"),
    ],
)
def test_what_cannot_be_shown_is_one_line(line, said, job, tmp_path):
    with pytest.raises(UserError, match=said):
        execute(job(*line, *DIGITS, *QUIET, "verbose=false", f"results_root={tmp_path}"))


def test_the_network_is_trained_by_plain_sgd_and_goes_on_where_it_was_stopped(job, tmp_path):
    line = ("method=multimix_puzzle", *DIGITS, "task.epochs=1", "dataset.train_size=100", "model.hidden=[9]", *QUIET)
    whole, resumed = whole_and_resumed(job(*line, "seeds=[0]"), tmp_path, 4)
    assert whole == resumed
    drawn = whole_and_resumed(job(*line, "seeds=[0]", "task.lr=1e-9"), tmp_path / "other", 4)[0]
    assert drawn[1] != whole[1], "masks follow the trained network"


def test_a_network_that_is_lost_is_a_run_that_diverged(go):
    import json

    (folder,) = go("method=multimix", *DIGITS, "task.epochs=1", "task.lr=1e30")
    assert json.loads((folder / "result.json").read_text())["status"] == "diverged"
