"""Whole runs of the classification task against a naive reference: each row, each number, each count, the epoch that is chosen."""

from __future__ import annotations

import dataclasses
import json

import pytest
from conftest import QUIET, result_of
from reference import classification as naive
from reference.agree import all_compared, same_rows
from reference.tiny_images import tiny

from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.classification.note import NOTE
from datasets.images.digits import digits

REL = 1e-9
LOOSE = {"train_loss": 3e-7}  # summed in single precision
KEYS = ("epochs", "batch_size", "crop_padding", "flip", "cutout", "label_smoothing")
MORE_KEYS = ("selection", "evaluate_every", "gradient_subset")


@pytest.fixture
def agrees(job, tmp_path):
    """agrees("ssvr", protocol, lr=..., ...) runs the program and the reference on the tiny images; the names, and the status."""

    def run(name: str, how: naive.Protocol, kind="plain", seeds=(0,), data=None, **keys) -> tuple[set[str], str]:
        lines = [f"method={name}", "dataset=digits", f"schedule={how.schedule}", f"seeds={json.dumps(list(seeds))}"]
        lines += [f"method.{key}={json.dumps(value)}" for key, value in keys.items()]
        lines += [f"task.{key}={json.dumps(getattr(how, key))}" for key in KEYS + MORE_KEYS]
        lines += [f"schedule.{key}={json.dumps(value)}" for key, value in how.more.items()]
        made = job(*[line.replace('"', "") for line in lines], *QUIET, "verbose=false", f"results_root={tmp_path}")
        model = {"_target_": f"reference.tiny_images.{'Plain' if kind == 'plain' else 'Noisy'}"}
        more = {} if kind == "plain" else {"dropout": 0.3 if kind == "noisy" else 0.0}
        source = {"_target_": "reference.tiny_images.tiny", **(data or {})}
        parts = made.parts | {"model": model | more, "dataset": source}
        outcome = execute(dataclasses.replace(made, parts=parts))
        assert not outcome.failures
        names = set()
        for seed in seeds:
            folder = outcome.job.folder / f"seed{seed}"
            rows, last, status = naive.run(name, keys, tiny("", seed, **(data or {})), kind, seed, how)
            names |= same_rows(read_metrics(folder), rows, REL, LOOSE)
            names |= same_rows([result_of(folder)["metrics"]], [last], REL, LOOSE)
            assert result_of(folder)["status"] == status
            measured = result_of(folder)["measured"]
            seen = measured["examples_per_second"] * measured["wall_seconds"]
            assert seen == pytest.approx(rows[-1]["step"] * how.batch_size), "images of steps, however often used"
        return names, status

    return run


OF_PROBES = (
    "mixup_loss",
    "test_top5",
    "test_adaptive",
    "fgsm_",
    "corruption_",
    "reliability_",
    "gradient_variance_",
    "batch_variance_",
)
APART = {
    name
    for name in NOTE.metrics
    if name.startswith(("bma_", "swap_rate", "ood_", "logit_", *OF_PROBES)) or "brier" in name
}  # of test_averaging.py, and of the probes' tests

METHODS = [
    ("signsgd", {"lr": 0.01}),
    ("signsgd", {"lr": 0.01, "weight_decay": 5.0}),
    ("signsgd_sim", {"lr": 0.01, "beta": 0.2}),
    ("ssvr", {"lr": 0.01, "beta": 0.3}),
    ("ssvr", {"lr": 0.02, "beta": 1.0, "weight_decay": 3.0}),
    ("signsvrg", {"lr": 0.01, "weight_decay": 2.0}),
    ("ssvr_fs", {"lr": 0.01}),
    ("ssvr_fs", {"lr": 0.01, "beta": 0.8}),
    ("ssvr_fs_spider", {"lr": 0.01}),
    ("ef_signsgd", {"lr": 0.3, "weight_decay": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.6, "nesterov": True, "weight_decay": 0.01}),
    ("sgd", {"lr": 0.1, "momentum": 0.0}),
    ("adamw", {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.5}),
]


@pytest.mark.parametrize(("name", "keys"), METHODS)
def test_each_method(agrees, name, keys):
    """50 images in minibatches of 16: two are left out of each epoch; 21 images behind the gradient norms, in a batch of 16 and one of 5."""
    names, _ = agrees(name, naive.Protocol(label_smoothing=0.1), seeds=(0, 4), **keys)
    all_compared(names, NOTE, "skipped_steps", "nonfinite_losses", *APART)


@pytest.mark.parametrize(
    ("name", "keys"), [("sgd", {"lr": 0.05}), ("adamw", {"lr": 0.01}), ("ef_signsgd", {"lr": 0.2})]
)
def test_digits_as_a_person_runs_them_to_single_precision(go, name, keys):
    """The embedded data set and the suite's own network, by names alone; methods whose steps follow the size of a gradient."""
    sizes = {"train_size": 80, "val_size": 30, "test_size": 50}
    small = [f"dataset.{key}={value}" for key, value in sizes.items()]
    task = ["task.epochs=3", "task.batch_size=16", "task.gradient_subset=21", "task.selection=best_val"]
    (folder,) = go(f"method={name}", "dataset=digits", "model.hidden=[6]", *small, *task, f"method.lr={keys['lr']}")
    how = naive.Protocol(selection="best_val")
    rows, last, _ = naive.run(name, keys, digits("", 0, **sizes), "mlp", 0, how)
    same_rows(read_metrics(folder), rows, 1e-4)
    same_rows([result_of(folder)["metrics"]], [last], 1e-4)


@pytest.mark.parametrize(("name", "keys"), METHODS)
def test_each_method_on_a_network_with_batch_statistics(agrees, name, keys):
    agrees(name, naive.Protocol(epochs=2), "normed", **keys)


@pytest.mark.parametrize("name", ["signsgd", "signsgd_sim", "ssvr", "ef_signsgd", "sgd", "adamw"])
def test_dropout_is_the_same_in_every_pass_over_a_minibatch(agrees, name):
    agrees(name, naive.Protocol(epochs=2, gradient_subset=40), "noisy", lr=0.02)


@pytest.mark.parametrize(
    "how",
    [
        naive.Protocol(crop_padding=0, flip=False),
        naive.Protocol(crop_padding=3, cutout=3, batch_size=50),
        naive.Protocol(cutout=4, flip=False, batch_size=7, gradient_subset=1000),
        naive.Protocol(epochs=5, evaluate_every=2, selection="best_val", batch_size=25, gradient_subset=1),
        naive.Protocol(epochs=5, evaluate_every=3, crop_padding=5),
        naive.Protocol(epochs=4, selection="best_val", label_smoothing=0.4),
        naive.Protocol(batch_size=1, epochs=1, gradient_subset=3),
    ],
)
@pytest.mark.parametrize(("name", "lr"), [("ssvr", 0.05), ("signsvrg", 0.2)])
def test_batches_crops_smoothing_and_which_epochs_are_evaluated(agrees, how, name, lr):
    agrees(name, how, lr=lr)


def test_batch_statistics_of_single_images_are_not_measured(agrees):
    """Minibatches of one image; the gradient norms come from two at a time, and the last one alone."""
    agrees("signsgd", naive.Protocol(batch_size=1, epochs=1, gradient_subset=5), "normed", lr=0.01)


def test_networks_that_are_sure(agrees):
    """Most answers are certain to the last digit, others nearly."""
    agrees("sgd", naive.Protocol(epochs=4), lr=60.0, momentum=0.0)


def test_images_that_a_mirror_would_change_are_not_mirrored(agrees):
    agrees("ssvr", naive.Protocol(), data={"mirror": False}, lr=0.01)


@pytest.mark.parametrize(
    ("schedule", "more"),
    [
        ("constant", {"warmup_epochs": 1.5}),
        ("cosine", {}),
        ("cosine", {"warmup_epochs": 1.2}),
        ("steps", {}),
        ("steps", {"milestones": [0.1, 0.3, 0.7], "gamma": 0.5, "warmup_epochs": 0.8}),
        ("theory", {}),
        ("theory", {"warmup_epochs": 1.0}),
    ],
)
@pytest.mark.parametrize("name", ["signsgd_sim", "ssvr", "sgd"])
def test_schedules(agrees, name, schedule, more):
    """Nine or twelve steps, at each another step size; the row of an epoch has the one that comes next."""
    agrees(name, naive.Protocol(epochs=4 if schedule == "steps" else 3, schedule=schedule, more=more), lr=0.1)


@pytest.mark.parametrize("name", ["signsgd", "signsvrg", "ssvr_fs", "ssvr_fs_spider", "ef_signsgd", "adamw"])
def test_the_theorys_step_sizes_of_the_other_methods(agrees, name):
    agrees(name, naive.Protocol(epochs=2, schedule="theory"), lr=0.5)


@pytest.mark.parametrize("poisoned", [2, 9])
@pytest.mark.parametrize(
    "name", ["signsgd_sim", "ssvr", "signsvrg", "ssvr_fs", "ssvr_fs_spider", "ef_signsgd", "sgd", "adamw"]
)
def test_losses_that_are_lost_and_steps_that_are_skipped(agrees, name, poisoned):
    """White images, on which the network has no answer, are in most epochs' minibatches; with nine of them some epochs have no loss at all."""
    how = naive.Protocol(epochs=6, crop_padding=0, batch_size=10 if poisoned == 2 else 16)
    names, statuses = set(), set()
    for seed in range(3):
        more, status = agrees(name, how, seeds=(seed,), data={"poisoned": poisoned}, lr=0.01)
        names, statuses = names | more, statuses | {status}
    all_compared(names, NOTE, *APART)
    assert "diverged" in statuses
