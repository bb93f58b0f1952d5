"""A whole run of private generation against a naive reference: each row of the curve, each final number."""

from __future__ import annotations

import pytest
import torch
from generation_pairs import Tiny, bars
from reference import generation as naive
from reference.agree import all_compared, same_rows
from test_generation import ran

from bench.seeding import stream_seed
from bench.tasks.generation.ledger import Ledger
from bench.tasks.generation.note import NOTE

TRAINED = {"steps": 6, "clip": 0.5, "noise_multiplier": 1.0, "batch_size": 8, "lr": 0.5}
KEYS = {
    "reports": 3,
    "samples": 40,
    "sampling_steps": 5,
    "public_images": 20,
    "feature_steps": 6,
    "membership": 25,
    "classifier_epochs": 2,
}
# Of other tests: the accountants, audits, Inception, pictures.
APART = (
    "epsilon",
    "epsilon_lower_bound",
    "canary_guesses",
    "canary_right",
    "frechet_inception",
    "label",
    "place",
    "thumbnail",
    "gradient_norm",
    "released",
    "loss",
    "distance",
)


@pytest.mark.parametrize(("seed", "eta"), [(0, 1.0), (3, 0.0)])
def test_a_run_says_what_its_naive_reference_says(seed, eta, tmp_path):
    keys = KEYS | {"eta": eta}
    final, rows, _, run = ran(
        tmp_path, "Plain", seeds=f"[{seed}]", **{f"method_{k}": v for k, v in TRAINED.items()}, **keys
    )
    torch.manual_seed(stream_seed(seed, "init", naive.STREAMS["start"]))
    net, pair = Tiny(1, 2, 8), bars("", seed)
    terms = {"rate": 8 / 40, "noise_multiplier": 1.0, "clip": 0.5, "delta": 1e-3, "steps": 6}
    ledger = Ledger(n=40, seed=seed, secure=False, target_epsilon=None, accountant="rdp", journal=None, **terms)
    told = {"timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0195, "membership_draws": 2}
    wanted, last = naive.run(pair, net, ledger, seed, TRAINED | keys | told)
    last |= {"delta": 1e-3, "noise_multiplier": 1.0, "releases": 6}
    final = {name: value for name, value in final.items() if name != "epsilon"} | {"gradient_evaluations": run.spent}
    compared = same_rows(rows, wanted, rel=1e-5) | same_rows([final], [last], rel=1e-5, loose={"frechet": 1e-3})
    all_compared(compared, NOTE, *APART)
