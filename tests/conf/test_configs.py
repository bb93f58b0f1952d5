"""Every YAML has exactly its constructor's arguments; every method, data set and experiment composes into a valid job."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
import yaml
from conftest import ROOT
from hydra.utils import get_object

from bench.errors import UserError
from bench.judge.archive import archive_path, read_archive
from bench.judge.plan import jobs
from bench.run.build import arguments
from bench.run.compose import compose
from bench.run.composition import hydra
from bench.run.job import Job
from bench.run.notes import task_for, tasks_of_data
from bench.run.options import options, task_of
from bench.run.signature import REQUIRED, signature
from bench.run.sweep import _job

NODES = [(group, name) for group in ("method", "dataset", "schedule", "task", "model") for name in options(group)]


def planned(line: tuple[str, ...]) -> Job:
    """The job of a command line, as bench.run.sweep composes it."""
    with hydra():
        return _job(line)


def targets(node) -> list[str]:
    target = node["_target_"]
    if target.startswith("${scaled:"):
        return [part.strip() for part in target.removeprefix("${scaled:").removesuffix("}").split(",")]
    return [target]


def keywords(target) -> dict[str, Any]:
    """Keys and defaults that Python itself sees: keyword-only ones and, where the rest is handed on, those of the next constructor up the bases."""
    chain = [c.__init__ for c in target.__mro__ if "__init__" in vars(c)] if inspect.isclass(target) else [target]
    found: dict[str, Any] = {}
    for function in chain:
        parameters = inspect.signature(function).parameters.values()
        own = {p.name: REQUIRED if p.default is p.empty else p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        found = own | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def held(node) -> list[str]:
    """The defaults that bring the keys of another method: `/method@optimizer`."""
    return [name for one in node.get("defaults", ()) if isinstance(one, dict) for name in one if "/method@" in name]


@pytest.mark.parametrize(("group", "name"), NODES)
def test_yaml_has_exactly_the_constructors_arguments(group, name):
    node = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text())
    for target in targets(node):
        keys = set(node) - {"_target_", "defaults"} - ({"tasks"} if group == "method" else set())
        keys |= {name.partition("@")[2] for name in held(node)}
        read = {name: default for name, (_, default) in signature(target).keys.items()}
        assert read == keywords(get_object(target)), "the static reading agrees with Python's own"
        assert keys == set(read)


def tasks_of(method: str) -> list[str]:
    return yaml.safe_load((ROOT / "conf/method" / f"{method}.yaml").read_text())["tasks"]


@pytest.mark.parametrize("method", options("method"))
def test_a_method_s_job_is_hydra_s_own(method):
    """The plan lets methods share a composition; Hydra composes each."""
    dataset = next(name for name in options("dataset") if task_of(name) in tasks_of(method))
    line = (f"method={method}", f"dataset={dataset}", "scale=paper")
    assert planned(line) == compose(*line)


@pytest.mark.parametrize("method", options("method"))
def test_a_method_takes_its_keys_from_python_and_names_a_misspelt_one(method):
    """A family hands keywords on and swallows none."""
    dataset = next(name for name in options("dataset") if task_of(name) in tasks_of(method))
    node = planned((f"method={method}", f"dataset={dataset}", "scale=paper")).parts["method"]
    keys = arguments(node)
    known = {"params": [torch.nn.Parameter(torch.zeros(2))], "num_components": 10_000, "strong_convexity": 1.0}
    supplied = {name: known[name] for name in signature(node["_target_"]).supplied if name in known}
    made = get_object(node["_target_"])
    assert isinstance(made(**supplied, **keys), made)
    with pytest.raises(TypeError, match=r"misspelt|takes no arguments"):
        made(**supplied, **keys, misspelt=1)


def data_sets_beside(method: str) -> list[str]:
    """Those of its tasks and one of each other task, of which a method that names no key of the data set sees the task alone; of one that does,
    all."""
    if "${dataset" in (ROOT / "conf/method" / f"{method}.yaml").read_text():
        return list(options("dataset"))
    first = {task_of(dataset): dataset for dataset in reversed(options("dataset"))}
    return [d for d in options("dataset") if task_for(tasks_of(method), d) or d == first[task_of(d)]]


@pytest.mark.parametrize("method", options("method"))
def test_every_data_set_composes_with_it_or_is_told_why_not(method):
    wrong, tasks = {}, tasks_of(method)
    with hydra():
        for dataset in data_sets_beside(method):
            try:
                key, said = _job((f"method={method}", f"dataset={dataset}")).key, ""
            except UserError as error:
                key, said = "", str(error)
            if len(key) != 64 if task_for(tasks, dataset) else "Data sets that fit:" not in said:
                wrong[dataset] = key or said
    assert wrong == {}


@pytest.mark.parametrize("dataset", options("dataset"))
def test_a_method_of_another_task_is_told_so(dataset):
    method = next(name for name in options("method") if not task_for(tasks_of(name), dataset))
    with pytest.raises(UserError, match="Data sets that fit:"):
        planned((f"method={method}", f"dataset={dataset}"))


@pytest.mark.parametrize("scale", ["smoke", "mini", "paper"])
@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_at_every_scale(experiment, scale):
    made = planned((f"experiment={experiment}", f"scale={scale}"))
    assert made.experiment == experiment


def test_the_key_is_typed_and_blind_to_how_it_is_run():
    base = compose("method=ssvr", "method.lr=1.0").key
    assert base == compose("method=ssvr", "method.lr=1").key
    for same in (
        "seeds=[3,4]",
        "hardware=cpu",
        "tracker=none",
        "results_root=elsewhere",
        "data_root=elsewhere",
        "force=true",
    ):
        assert base == compose("method=ssvr", "method.lr=1.0", same).key
    for other in (
        "method.beta=0.123",
        "task.epochs=77",
        "dataset=mnist",
        "model=small_cnn",
        "schedule=cosine",
        "scale=paper",
    ):
        assert base != compose("method=ssvr", "method.lr=1.0", other).key


def test_step_sizes_are_the_best_of_the_committed_grid():
    """The CIFAR-10 figure's step sizes have the lowest training loss of the committed runs on pilot seeds, and neighbours on both sides."""
    keys = {job.key for job in jobs("ssvr/cifar10_tune", "mini")}
    losses: dict[str, dict[float, list[float]]] = {}
    for run in read_archive(archive_path(ROOT / "results", "ssvr")):
        if run.key in keys:
            loss = math.inf if run.diverged else run.metrics["train_loss"]
            losses.setdefault(run.method, {}).setdefault(run.get("method.lr"), []).append(loss)
    chosen = {job.names["method"]: job.parts["method"]["lr"] for job in jobs("ssvr/cifar10", "mini")}
    for method, lr in chosen.items():
        by = losses[method]
        assert lr == min(by, key=lambda lr: sum(by[lr])), method
        assert min(by) < lr < max(by), method


def test_a_method_that_does_not_serve_a_data_set_s_task_brings_another_that_takes_its_data():
    """In Hydra's composition and in the plan's; a task that is written is left as it is."""
    line = ("method=ssvr_mv", "dataset=digits", "task.workers=8")
    one = compose(*line)
    assert one == planned(line)
    assert (one.names["task"], one.get("task.workers")) == ("vote_images", 8)
    assert compose("method=ssvr", "dataset=digits").names["task"] == "classification"
    assert tasks_of_data("digits") == ["classification", "vote_images"]
    assert tasks_of_data("worker_quadratics") == ["vote"]
    with pytest.raises(UserError, match="method 'ssvr' trains a classifier"):
        compose("method=ssvr", "dataset=digits", "task=vote_images")
    with pytest.raises(UserError, match="task = 'vote': data set 'digits' brings its own, 'classification'"):
        compose("method=ssvr_mv", "dataset=digits", "task=vote")


@pytest.mark.parametrize("scale", ["mini", "paper"])
@pytest.mark.parametrize("dataset", ["private_digits", "private_mnist", "private_cifar10", "celeba32", "celeba64"])
def test_a_denoiser_is_as_wide_as_the_noise_of_a_patch(job, dataset, scale):
    """With fewer channels than a patch has numbers it cannot pass on the noise that it is to predict."""
    keys = job("method=dplora", f"dataset={dataset}", f"scale={scale}").parts["model"]
    channels = 1 if dataset in ("private_digits", "private_mnist") else 3
    assert keys["widths"][0] >= channels * keys["patch"] ** 2
