"""Whole runs of the valuation task against a naive reference: each row of the curve, each final number."""

from __future__ import annotations

import pytest
from reference import valuation as naive
from reference.agree import all_compared, same_rows
from test_valuation import ran
from valuation_points import gaussian

from bench.tasks.valuation.note import NOTE

KEYS = {"curve": 20, "sheet": 3, "compare": "random", "prune": [0.0, 0.1, 0.35]}
NETWORK = {"network": "mlp", "retrain_epochs": 3, "retrain_batch_size": 16}

SHEET = ("place", "value", "given_label", "point", "known_corrupted", "thumbnail")  # of test_sheet.py


@pytest.mark.parametrize(("seed", "noise", "k"), [(0, 1.0, 10), (1, 2.0, 3)])
def test_a_run_says_what_its_naive_reference_says(seed, noise, k, tmp_path):
    data = {"n": 150, "m": 40, "noise": noise}
    wanted, last = naive.run(
        gaussian("", seed, **data), seed, k=k, curve=20, sheet=3, prune=KEYS["prune"], epochs=3, batch=16
    )
    keys = {f"dataset_{name}": value for name, value in data.items()}
    final, rows, _, _ = ran(tmp_path, "knn_shapley", seeds=f"[{seed}]", method_k=k, **keys, **KEYS, **NETWORK)
    values = dict.fromkeys(("lowest_value", "highest_value"), 1e-9)
    compared = same_rows(rows, wanted, loose=values) | same_rows([final], [last], loose={"distinct_values": 0.05})
    all_compared(compared, NOTE, "seconds", "peak_bytes", *SHEET)
