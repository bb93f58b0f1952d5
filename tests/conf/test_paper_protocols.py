"""At paper scale the experiments have the numbers that the papers state of theirs."""

from __future__ import annotations

import pytest

from bench.judge.plan import jobs

# Lee, Oko, Suzuki and Wu, 2024, caption of Figure 1: ReLU network, N = 1024, squared loss, eta = 1 / d, target He_3, 10 runs;
# (a) one pass with B = 8, (b) T = 2^14 steps on one batch.
FIGURE = {"model.width": 1024, "model.activation": "relu", "method.loss": "squared", "dataset.link": "he3"}
STATED = {
    ("singleindex/figure1", "online_sgd"): {
        **FIGURE,
        "method.batch_size": 8,
        "method.fresh": True,
    },
    ("singleindex/figure1", "same_batch_gd"): {
        **FIGURE,
        "method.batch_size": None,
        "method.fresh": False,
        "method.steps": 2**14,
    },
    # Jiang, Yang, Yang and Zhang, 2024: ResNet18 on CIFAR-10, 200 epochs, test accuracy and gradient norm by epoch.
    **{
        ("ssvr/cifar10", method): {"dataset": "cifar10", "task.epochs": 200, "task.evaluate_every": 1}
        for method in ("signsgd", "signsgd_sim", "signsvrg", "ssvr", "ssvr_fs")
    },
    # Arnaboldi et al., 2024, released code: ReLU without biases off the sphere, rows orthogonal to the target, no noise, T = 50 d.
    **{
        ("singleindex/repetition", method): {
            "model.bias": "none",
            "model.start": "orthogonal",
            "model.second_layer": "ones",
            "method.geometry": "free",
            "dataset.noise": 0.0,
            "dataset.normalised": False,
            "task.samples": [50],
            "task.samples_power": 1.0,
        }
        for method in ("egd", "sam", "online_sgd")
    },
}


def at_paper_scale(experiment: str, method: str):
    (job,) = [job for job in jobs(experiment, "paper") if job.names["method"] == method]
    return job


@pytest.mark.parametrize(("experiment", "method"), STATED)
def test_stated_numbers_are_those_that_run(experiment, method):
    job = at_paper_scale(experiment, method)
    assert {key: job.get(key) for key in STATED[experiment, method]} == STATED[experiment, method]


def test_the_figure_on_cifar10_has_the_paper_s_network():
    assert {job.parts["model"]["_target_"] for job in jobs("ssvr/cifar10", "paper")} == {"bench.models.resnet18"}


@pytest.mark.parametrize("method", ["online_sgd", "same_batch_gd"])
def test_the_figure_s_step_is_one_over_d_and_its_runs_are_ten(method):
    job = at_paper_scale("singleindex/figure1", method)
    assert [job.get("method.lr") / d ** job.get("method.lr_power") for d in (32, 512)] == [1 / 32, 1 / 512]
    assert len(job.settings.seeds) == 10


@pytest.mark.parametrize("method", ["egd", "sam", "online_sgd"])
def test_repetition_has_the_inner_step_of_the_released_code(method):
    """rho = 0.1 / d for a network of one neuron, uphill in SAM; gamma too falls as 1 / d."""
    job = at_paper_scale("singleindex/repetition", method)
    assert job.get("method.lr_power") == 1.0
    if method != "online_sgd":
        assert job.get("method.inner_lr") == {"egd": 0.1, "sam": -0.1}[method]
