"""Whole runs of feature learning against plain loops over single paths: every row, every final metric, every count."""

from __future__ import annotations

import math

import pytest
from reference.feature_learning import Reference
from reference.feature_learning_compared import compared

from bench.tasks.feature_learning.note import NOTE

SEEDS = [0, 3]
BIASED = {"width": 3, "bias": "normal"}
PLAIN = {"width": 3}
MATCHED = {"width": 2, "activation": "link", "second_layer": "gaussian"}
SHORT = {"samples": [9, 2.6, 5], "test_samples": 13, "ridge_samples": 0}
MULTI = {"projection": 2e-3}  # its direction is an average over fixed points, here it is exact


ONE_PASS = {
    "online": ("online_sgd", {"d": [9, 5]}, BIASED, {}),
    "online, no bias": ("online_sgd", {"d": [5, 9], "noise": 0.4}, PLAIN, {"lr": 0.7}),
    "online, squared": ("online_sgd", {"d": 6, "link": "relu"}, PLAIN, {"loss": "squared", "lr_power": 0.6}),
    "online, free": ("online_sgd", {"d": 6, "link": "relu", "normalised": False}, PLAIN, {"geometry": "free"}),
    "online, batches": ("online_sgd", {"d": [5, 7], "link": "he2"}, BIASED, {"batch_size": 4, "loss": "squared"}),
    "reuse": ("reuse_sgd", {"d": [5, 8]}, PLAIN, {}),
    "reuse, batches": ("reuse_sgd", {"d": 8}, BIASED, {"batch_size": 4, "weak_until": 0.4, "lr_power": 0.7}),
    "renewed": ("reuse_sgd_renewed", {"d": [5, 8], "link": "he2+he3"}, PLAIN, {"strong_lr": 0.5}),
    "renewed, batches": (
        "reuse_sgd_renewed",
        {"d": 8},
        BIASED,
        {"batch_size": 2, "interpolation": 0.3, "loss": "squared"},
    ),
    "renewed, free": ("reuse_sgd_renewed", {"d": 8}, PLAIN, {"geometry": "free", "loss": "squared"}),
    "repeated": ("repeated_sgd", {"d": [5, 8], "normalised": False}, PLAIN, {}),
    "map": ("reuse_map", {"d": [5, 8], "link": "he4"}, BIASED, {"lr": 0.4}),
    "map, batches": ("reuse_map", {"d": 8, "link": "he3-0.15he5"}, PLAIN, {"batch_size": 8, "lr": 2.0}),
    "egd": ("egd", {"d": [5, 8], "normalised": False}, {**PLAIN, "start": "orthogonal"}, {}),
    "egd, batches": ("egd", {"d": 8}, BIASED, {"batch_size": 2, "inner_lr": 0.8, "lr_power": 0.5}),
    "sam": ("sam", {"d": [5, 8], "link": "he1"}, {"width": 1, "second_layer": "ones", "output": "root"}, {}),
    "no inner step": ("reuse_map", {"d": [5, 8]}, PLAIN, {"inner_lr": 0.0}),
    "smoothed": ("smoothed_sgd", {"d": [5, 9]}, MATCHED, {"smooth_until": 0.5, "lr": 0.3}),
    "smoothed, quartic": ("smoothed_sgd", {"d": 6, "link": "he2+he4"}, {**MATCHED, "start": "barely"}, {}),
    "never smoothed": ("smoothed_sgd", {"d": [5, 9]}, MATCHED, {"smoothing": 0.0}),
    "polynomials": ("reuse_sgd", {"d": [5, 8]}, {**PLAIN, "activation": "polynomial"}, {"lr": 0.1}),
    "even polynomials": (
        "online_sgd",
        {"d": 8, "link": "he4"},
        {**BIASED, "activation": "polynomial", "small": 0.1},
        {"lr": 0.01},
    ),
    "cubic": ("online_sgd", {"d": 6, "link": "polynomial", "coefficients": [1, 0.5, -2, 1]}, MATCHED, {"lr": 0.02}),
    "hermite": (
        "online_sgd",
        {"d": 6, "link": "hermite", "coefficients": [2, 1, 0, 1], "normalised": False, "rotated": False},
        {**PLAIN, "second_layer": "alternating"},
        {},
    ),
    "matched relu": ("online_sgd", {"d": 6, "link": "relu"}, {**MATCHED, "bias": "normal"}, {"loss": "squared"}),
}


@pytest.mark.parametrize("case", ONE_PASS.values(), ids=ONE_PASS)
def test_one_pass(case, go):
    """Two dimensions whose ends lie in different blocks, rows between, replicates, and the second phase."""
    method, data, model, own = case
    task = {**SHORT, "replicates": 2, "ridge_samples": 23}
    compared(go, method, data, model, task, SEEDS, **own)


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("z1+z1z2", {}),
        ("z1+he3_z2", {"noise": 0.3}),
        ("z1+z1he3_z2", {"normalised": True}),
        ("z1z2z3", {"rotated": False}),
        ("sign_z1z2", {"normalised": True}),
        ("5sign_z1z2z3", {"normalised": True}),
        ("he4_z1+5sign_z1z2z3", {}),
        ("he2_z1+5sign_z1z2z3", {"normalised": True}),
        ("tanh_z1+he3_z2", {}),
    ],
)
def test_several_directions(target, more, go):
    task = {**SHORT, "samples": [4], "ridge_samples": 20}
    loose = MULTI | (dict.fromkeys(("network_error", "test_error"), 1e-3) if target.startswith("tanh") else {})
    own = {"geometry": "free", "loss": "squared"}
    compared(go, "egd", {"d": [5, 6], "target": target, **more}, PLAIN, task, [1], loose=loose, **own)


ALL_SAMPLES = {
    "same batch": ("same_batch_gd", {"d": [5, 8]}, BIASED, {"steps": 4}),
    "fresh batches": ("same_batch_gd", {"d": [5, 8]}, PLAIN, {"steps": 4, "fresh": True, "loss": "correlation"}),
    "a theory of fresh ones": ("same_batch_gd", {"d": 6, "link": "he5"}, PLAIN, {"steps": 3, "fresh": True}),
    "multipass": ("multipass_gd", {"d": [5, 8]}, {"width": 2, "second_layer": "alternating", "output": "root"}, {}),
    "map": ("reuse_map", {"d": 6}, PLAIN, {"batch_size": None, "steps": 4, "fresh": False, "lr": 2.0}),
    "egd, fresh": ("egd", {"d": 6}, BIASED, {"batch_size": None, "steps": 4, "fresh": True, "lr": 2.0}),
    "all layers": ("all_layers_gd", {"d": [5, 8]}, BIASED, {"steps": 4}),
    "all layers, no bias": ("all_layers_gd", {"d": [5, 8], "link": "relu"}, PLAIN, {"steps": 5, "lr_power": 0.0}),
    "all layers, fresh": (
        "all_layers_gd",
        {"d": 6, "noise": 0.2},
        {**BIASED, "second_layer": "gaussian", "output": "root"},
        {"steps": 4, "fresh": True},
    ),
    "all layers, polynomials": (
        "all_layers_gd",
        {"d": 6},
        {**BIASED, "activation": "polynomial"},
        {"steps": 3, "lr": 0.1},
    ),
}


@pytest.mark.parametrize("case", ALL_SAMPLES.values(), ids=ALL_SAMPLES)
def test_all_samples(case, go):
    method, data, model, own = case
    task = {"samples": [3, 1.5], "iterations": [1, 3], "replicates": 2, "test_samples": 13, "ridge_samples": 20}
    compared(go, method, data, model, task, SEEDS, **own)


def test_all_samples_of_several_directions(go):
    """The trajectory of Dandi et al. in small, and its control with new samples at each step."""
    model = {"width": 2, "second_layer": "alternating", "output": "root", "start": "orthogonal"}
    task = {"samples": [3], "iterations": [1, 2, 3, 4, 5], "replicates": 2, "test_samples": 9, "ridge_samples": 0}
    loose = MULTI | {"network_error": 1e-3, "train_error": 1e-3}
    for fresh in (False, True):
        data = {"d": 8, "target": "tanh_z1+he3_z2"}
        compared(go, "multipass_gd", data, model, task, [1], loose=loose, fresh=fresh)


MATCHED_ONE = {"width": 1, "second_layer": "ones", "activation": "link", "start": "barely"}
HITS = {  # method, dimensions, grid, stop, threshold, replicates, and the numbers of samples at which some dimensions end
    "early, of all settings": ("online_sgd", [7, 4, 8], {"lr": [0.25, 1.0]}, "all", 0.62, 3, {1024}),
    "one setting does not": ("online_sgd", [7, 4], {"lr": [0.05, 1.0]}, "all", 0.6, 3, {1575}),
    "early, of any": ("online_sgd", [7, 8], {"lr": [0.05, 1.0]}, "any", 0.75, 1, {1024}),
    "one seed does not": ("online_sgd", [7, 8], {"lr": [0.05, 1.0]}, "any", 0.84, 1, {1575, 1950}),
    "never": ("reuse_sgd", [7, 4], {"lr": [0.4, 2.0]}, "never", 0.6, 2, {1575}),
    "pairs": ("reuse_map", [7, 4], {"inner_lr": [1.0, 0.1], "lr": [0.4, 0.03]}, "any", 0.8, 2, {1024}),
    "matched": ("smoothed_sgd", [7, 4], {"lr": [0.1, 0.3]}, "all", 0.7, 2, {1024}),
}


@pytest.mark.parametrize("case", HITS.values(), ids=HITS)
def test_grids_and_hitting_times(case, go):
    """Of two seeds; dimensions end early when the medians of all seeds stand."""
    method, dims, grid, stop, threshold, replicates, ends = case
    model = MATCHED_ONE if method == "smoothed_sgd" else {"width": 2, "second_layer": "ones", "bias": "normal"}
    task = {"samples": [30, 70], "samples_power": 1.6, "grid": grid, "stop": stop, "threshold": threshold}
    task |= {"sustain": {"never": 0.0, "any": 1.0, "all": 0.7}[stop], "test_samples": 9, "ridge_samples": 0}
    task |= {"replicates": replicates}
    reference, _ = compared(go, method, {"d": dims}, model, task, [2, 5])
    assert {row["samples"] for row in reference.curves[0] if "tuned_overlap_mean" in row} - {643} == ends


def test_grids_of_all_samples(go):
    """Settings that overflow leave no rows and no place among the best; without hitting times the best are of overlaps."""
    task = {"samples": [3], "grid": {"lr": [0.3, 1e200, 3.0]}, "test_samples": 9, "ridge_samples": 20}
    task |= {"replicates": 2}
    _, results = compared(go, "multipass_gd", {"d": [5, 8]}, BIASED, task, SEEDS, steps=3)
    assert {result["status"] for result in results} == {"finished"}


def test_second_phases(go):
    """A row for each N, T_2 and setting, and a last one of the most of both; penalties that the choice tells apart."""
    task = {**SHORT, "samples": [4], "grid": {"lr": [0.1, 0.6]}, "ridge_samples": [41, 17], "ridge_widths": [3, 1]}
    task |= {"ridge_penalties": [1e-4, 1.0, 1e-2], "ridge_bias": 2.0, "replicates": 3}
    for method in ("online_sgd", "reuse_sgd"):
        compared(go, method, {"d": [5, 8], "noise": 0.5}, {"width": 4, "bias": "normal"}, task, SEEDS)


def test_a_logarithm_in_the_samples(go):
    task = {**SHORT, "samples": [1.7, 4], "samples_power": 1.2, "samples_log": True, "aligned_at": 0.3}
    compared(go, "online_sgd", {"d": [5, 8]}, BIASED, task, [1], batch_size=8)


@pytest.mark.parametrize("method", ["online_sgd", "same_batch_gd"])
def test_single_precision(method, go):
    """As figures at paper scale are computed, off the sphere; to its rounding."""
    own = {"geometry": "free", "loss": "squared", "lr": 1.0, "lr_power": 1.0}
    own |= {"batch_size": 8} if method == "online_sgd" else {"steps": 6}
    task = {"samples": [4, 16], "precision": "single", "test_samples": 20, "ridge_samples": 0}
    reference, results = compared(go, method, {"d": [5, 8]}, BIASED, task, SEEDS, rest=2e-5, **own)
    for plain, result in zip(reference.finals, results):
        assert plain["overlap_mean"] != pytest.approx(result["metrics"]["overlap_mean"], rel=1e-12)


def test_divergence(go):
    """The first setting's end is not finite: no row of it, and the run says so."""
    task = {"samples": [3], "grid": {"lr": [1e200, 0.1]}, "test_samples": 9, "ridge_samples": 0}
    reference, results = compared(go, "multipass_gd", {"d": [5, 8]}, BIASED, task, SEEDS, steps=3)
    assert {result["status"] for result in results} == {"diverged"}
    assert all(not math.isfinite(found["overlap_mean"]) for found in reference.finals)


def test_every_metric_of_the_note_is_compared():
    """Names of a grid in two dimensions, of three directions that all samples learn, and of a link with a linear part."""
    grid = {"grid": {"lr": [0.1, 1.0], "inner_lr": [1.0]}, "threshold": 0.0, "ridge_samples": [5, 9]}
    references = [
        Reference("reuse_map", {"d": [5, 6]}, PLAIN, {**SHORT, **grid}, [0], {}),
        Reference("same_batch_gd", {"d": 5, "target": "z1z2z3"}, PLAIN, SHORT, [0], {"steps": 1}),
        Reference("online_sgd", {"d": 5, "link": "relu"}, PLAIN, SHORT, [0], {}),
    ]
    names = {name for reference in references for row in [*reference.curves[0], *reference.finals] for name in row}
    assert names - {"step"} == set(NOTE.metrics)
