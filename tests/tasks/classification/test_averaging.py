"""The average of a sampler's networks: probabilities by hand, its scores against scikit-learn, other data, and what a run keeps of it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA, QUIET, result_of, whole_and_resumed
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.classification.averaging import Average, auroc, brier, entropy, in_the_form_of
from bench.tasks.classification.loop import Training

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (2300, 1, 2, 2), generator=GENERATOR).to(torch.uint8)
LABELS = torch.randint(0, 3, (2300,), generator=GENERATOR)
OTHER = torch.randint(0, 80, (700, 1, 2, 2), generator=GENERATOR).to(torch.uint8)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).requires_grad_(False)


def test_averages_of_logits_are_another_average():
    """As the released code has it: the NLL of softmax(mean logits), against that of the mean of softmax."""
    found = average()
    for seed in (1, 2, 3):
        figures = found(network(seed), True)
    logits = np.mean([network(s).eval()(IMAGES[:1200].float() / 40 - 2).double().numpy() for s in (1, 2, 3)], 0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = log_loss(LABELS[:1200], p, labels=range(3)) - figures["bma_nll"]
    assert figures["logit_average_excess"] == pytest.approx(expected, rel=1e-9)
    assert abs(expected) > 1e-3


def average(other: Tensor | None = OTHER) -> Average:
    data: Any = SimpleNamespace(test_x=IMAGES[:1200], test_y=LABELS[:1200], val_x=IMAGES[1200:], val_y=LABELS[1200:])
    return Average(data, other, lambda x: x.float() / 40 - 2, nullcontext)


def probabilities(seed: int, images: Tensor) -> np.ndarray:
    logits = network(seed).eval()(images.float() / 40 - 2)
    return logits.double().softmax(1).numpy()


def mean(images: Tensor, seeds: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    return np.mean([probabilities(seed, images) for seed in seeds], 0)


def test_the_average_is_that_of_probabilities_and_its_scores_are_scikit_learn_s():
    found = average()
    figures = [
        found(network(seed), collects) for seed, collects in ((9, False), (1, True), (2, True), (8, False), (3, True))
    ]
    assert set(figures[0]) == {"test_brier", "val_brier"}, "no network taken in yet"
    assert [row.get("bma_models") for row in figures] == [None, 1, 2, 2, 3]
    last = figures[-1]
    for prefix, part in (("bma", slice(0, 1200)), ("bma_val", slice(1200, None))):
        p, y = mean(IMAGES[part]), LABELS[part].numpy()
        assert last[f"{prefix}_accuracy"] == pytest.approx((p.argmax(1) == y).mean())
        assert last[f"{prefix}_nll"] == pytest.approx(log_loss(y, p, labels=range(3)), rel=1e-12)
        scored = brier_score_loss(y, p, labels=range(3), scale_by_half=False)
        assert last[f"{prefix}_brier"] == pytest.approx(scored, rel=1e-12)
        assert last[f"{prefix}_brier"] == pytest.approx(((p - np.eye(3)[y]) ** 2).sum(1).mean(), rel=1e-12)
    alone = probabilities(3, IMAGES[:1200])
    assert last["test_brier"] == pytest.approx(((alone - np.eye(3)[LABELS[:1200]]) ** 2).sum(1).mean(), rel=1e-12)
    scores = [-(p * np.log(p)).sum(1) for p in (mean(IMAGES[:1200]), mean(OTHER))]
    truth = np.repeat([0, 1], [1200, 700])
    assert last["ood_auroc"] == pytest.approx(roc_auc_score(truth, np.concatenate(scores)), rel=1e-12)
    logits = np.mean([np.log(probabilities(seed, IMAGES[:1200])) for seed in (1, 2, 3)], 0)
    wrong = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert last["bma_nll"] != pytest.approx(log_loss(LABELS[:1200], wrong, labels=range(3)), rel=1e-3)


def test_a_network_that_is_looked_at_stays_as_it_is():
    model = network(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average()(model, True)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_brier_of_two_examples_and_entropy_of_a_certain_one():
    p = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert brier(p, torch.tensor([0, 1])) == pytest.approx(((0.25 + 0.0625 + 0.0625) + 2) / 2)
    assert entropy(p).tolist() == pytest.approx([1.5 * np.log(2), 0.0])


def test_a_label_of_probability_0_has_a_finite_score():
    sure = average()
    sure(network(1), True)
    sure.sums["test"] = torch.eye(3, dtype=torch.float64)[(LABELS[:1200] + 1) % 3]
    assert sure._of_average("test", "bma")["bma_nll"] == pytest.approx(300 * np.log(10))


def test_auroc_with_ties_is_scikit_learn_s():
    low, high = (torch.randint(0, 6, (n,), generator=GENERATOR).double() for n in (90, 50))
    high = high + 1
    truth = np.repeat([0, 1], [90, 50])
    assert auroc(low, high) == pytest.approx(roc_auc_score(truth, torch.cat([low, high]).numpy()), rel=1e-12)
    assert np.isnan(auroc(low, high * torch.nan))


def test_other_images_take_the_form_of_these():
    colour, grey = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    digits = torch.arange(4 * 28 * 28).remainder(256).to(torch.uint8).view(4, 1, 28, 28)
    found = in_the_form_of(digits, colour)
    assert (found.shape, found.dtype) == ((4, 3, 32, 32), torch.uint8)
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.equal(in_the_form_of(digits, grey), digits)
    flat = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    flat[:, 1] = 200
    assert torch.equal(in_the_form_of(flat, grey).unique(), torch.tensor([round(0.413 * 7 + 0.587 * 200)]))
    ramp = torch.arange(32).mul(8).to(torch.uint8).expand(1, 3, 32, 32)
    row = in_the_form_of(ramp, torch.zeros(1, 3, 8, 8))[0, 0, 0].double()
    torch.testing.assert_close(row[1:-1].diff(), torch.full((5,), 32.0, dtype=torch.float64), atol=1, rtol=0)


# ---- runs

SMALL = ("dataset=digits", "dataset.train_size=256", "task.batch_size=64")
CNN = ("model=small_cnn", "model.width=8")


def test_a_run_averages_the_networks_after_its_burn_in(go, monkeypatch):
    """At the ends of epochs 4, 5 and 6 of 6, whether they are evaluated or not."""
    seen: list[np.ndarray] = []
    averaged = Training._averaged

    def watched(self: Training, told: bool) -> Any:
        if self.optimizer.collects:
            model = self.model.eval()
            with torch.no_grad():
                logits = model(self.average._normalise(self.average._images["test"]))
            seen.append(logits.double().softmax(1).numpy())
            model.train()
        return averaged(self, told)

    monkeypatch.setattr(Training, "_averaged", watched)
    (folder,) = go(
        "method=r2sghmc",
        *SMALL,
        *CNN,
        "task.epochs=6",
        "task.evaluate_every=4",
        "method.chains=2",
        "method.burn_in=0.6",
    )
    rows, found = read_metrics(folder), result_of(folder)["metrics"]
    assert ["bma_nll" in row for row in rows] == [False, False, False, True, False, True]
    assert [row.get("bma_models") for row in rows] == [None, None, None, 1, None, 3]
    assert found["gradient_evaluations"] == 2 * 6 * 256
    assert {"test_brier", "bma_accuracy", "bma_ece", "bma_brier", "swap_rate", "swap_rate_1"} <= set(found)
    from datasets.images.digits import digits

    p, y = np.mean(seen, 0), digits("", 0, train_size=256).test_y.numpy()
    assert len(seen) == 3
    assert found["bma_nll"] == pytest.approx(log_loss(y, p, labels=range(10)), rel=1e-9)


def test_a_method_that_does_not_sample_has_none_of_it(go, job):
    (folder,) = go("method=sgd", *SMALL, "task.epochs=1")
    assert not [name for name in result_of(folder)["metrics"] if "bma" in name or "brier" in name or "swap" in name]
    with pytest.raises(UserError, match=r"task.ood = 'mnist': .* method 'sgd' does not sample"):
        execute(job("method=sgd", *SMALL, "task.ood=mnist", *QUIET, "verbose=false", "results_root=/nonexistent"))


def test_other_data_are_chosen_by_name(go, job):
    """The very same images cannot be told apart; a name that is no data set of images is one line."""
    (folder,) = go("method=sghmc", *SMALL, "task.epochs=1", "task.ood=digits")
    assert result_of(folder)["metrics"]["ood_auroc"] == pytest.approx(0.5, abs=1e-12)
    with pytest.raises(UserError, match=r"task.ood = 'digts': allowed: null, .*'digits'"):
        execute(job("method=sghmc", *SMALL, "task.ood=digts", *QUIET, "verbose=false", "results_root=/nonexistent"))


def test_without_other_data_the_key_is_no_part_of_the_job(job):
    assert "ood" not in job("method=sghmc", *SMALL).parts["task"]
    plain, none, other = (job("method=sghmc", *SMALL, *more) for more in ((), ("task.ood=null",), ("task.ood=mnist",)))
    assert plain.key == none.key != other.key
    assert other.parts["task"]["ood"] == "mnist"


@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="no MNIST")
def test_digits_of_another_kind_are_told_apart(go):
    (folder,) = go(
        "method=sghmc", "dataset=digits", "model=small_cnn", "task.epochs=4", "task.ood=mnist", "method.lr=1e-4"
    )
    assert 0.6 < result_of(folder)["metrics"]["ood_auroc"] <= 1


@pytest.mark.parametrize("method", ["r2sghmc", "r_cycsghmc"])
def test_a_run_goes_on_bit_for_bit(job, tmp_path, method):
    made = job(
        f"method={method}", *SMALL, "model=resnet8", "task.epochs=3", "schedule=cosine", *QUIET, "method.burn_in=0.3"
    )
    whole, resumed = whole_and_resumed(made, tmp_path, 10)
    assert whole == resumed
    assert whole[0][0]["bma_models"] == 3
