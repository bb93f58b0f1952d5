"""Linear denoisers tuned privately: whole runs against DP-SGD by hand, and the shift itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import final, result_of
from reference.agree import all_compared, same_rows
from reference.private_audits import shift, tuned

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.tasks.generation.accounting import epsilon, noise_multiplier
from bench.tasks.low_rank_shift.note import NOTE
from datasets.pairs.low_rank import low_rank_shift

DATA = {"examples": 200, "dim": 6, "rank": 2, "size": 1.5, "noise": 0.3}
KEYS = {"batch_size": 20, "clip": 2.0, "delta": 1e-3, "lr": 0.03, "steps": 12}
BUDGET, SEED = 4.0, 3
LINE = [
    "dataset=low_rank_shift", "scale=smoke", f"seeds=[{SEED}]", f"method.epsilon={BUDGET}", "method.accountant=rdp",
    "task.reports=4", *(f"dataset.{name}={value}" for name, value in DATA.items()), *(f"method.{name}={value}" for name, value in KEYS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("method", "rank", "copies"), [("dplora", 3, 1), ("dp_full", None, 1), ("dplora", 3, 4)])
def test_whole_runs(go, method, rank, copies):
    """Copies are alike: nothing depends on their number but the gradients that are counted."""
    more = [f"method.rank={rank}", "method.targets=qkv"] if rank else []
    more += [f"method.noise_multiplicity={copies}"]
    folders = go(f"method={method}", *LINE, *more)
    (found,), rate = final(folders), KEYS["batch_size"] / DATA["examples"]
    sigma = noise_multiplier(BUDGET, rate, KEYS["steps"], KEYS["delta"], "rdp")
    data = shift(DATA["dim"], 2, DATA["size"], DATA["noise"], DATA["examples"], SEED)
    excess = tuned(data, KEYS | {"rank": rank}, SEED, sigma)
    counted = {"gradient_evaluations": copies * KEYS["batch_size"] * KEYS["steps"]}
    wanted = {
        "excess": excess[-1],
        "start_excess": DATA["size"] ** 2 * 2,
        "epsilon": epsilon(rate, sigma, KEYS["steps"], KEYS["delta"], "rdp"),
        "noise_multiplier": sigma,
        "steps": KEYS["steps"],
        "trainable_parameters": 2 * rank * DATA["dim"] if rank else DATA["dim"] ** 2,
        **counted,
    }
    all_compared(same_rows([found], [wanted], 1e-4), NOTE)
    curve = read_metrics(folders[0])
    assert [row["step"] for row in curve] == [3, 6, 9, 12]
    assert [row["excess"] for row in curve] == pytest.approx([excess[k] for k in (2, 5, 8, 11)], rel=1e-4)
    assert result_of(folders[0])["status"] == "finished"


def test_the_best_denoiser_is_a_low_rank_away_and_is_the_best():
    data = low_rank_shift("", 0, examples=20_000, dim=6, rank=2, size=1.5, noise=0.3)
    values = torch.linalg.svdvals(data.optimum - data.start)
    assert values.tolist() == pytest.approx([1.5, 1.5, 0, 0, 0, 0], abs=1e-5)
    least = np.linalg.lstsq(data.x.numpy(), data.target.numpy(), rcond=None)[0].T
    np.testing.assert_allclose(least, data.optimum, atol=0.015)


def test_another_seed_is_another_shift():
    one, other = (low_rank_shift("", seed, **DATA) for seed in (0, 1))
    assert not torch.equal(one.optimum, other.optimum)
    assert not torch.equal(one.x, other.x)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["dataset.rank=7"], "dataset.rank = 7: more than dataset.dim = 6; at most that"),
        (["method.epsilon=null"], "method.epsilon: null, which spends nothing; a number"),
        (["method.targets=attention"], "targets: 'to_out.0' matches no"),
    ],
)
def test_wrong_values_end_in_a_line(line, said, go):
    with pytest.raises(UserError, match=said):
        go("method=dplora", *LINE, "method.targets=qkv", *line)
