"""Private steps looked at: every metric against sums an example at a time, and what cannot be looked at."""

from __future__ import annotations

import pytest
import torch
import yaml
from conftest import QUIET, ROOT, final, result_of
from reference.agree import all_compared, same_rows
from reference.private_audits import Steps

from bench.errors import UserError
from bench.models.unet import Denoiser
from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.seeding import stream_seed
from bench.tasks.generation.accounting import noise_multiplier
from bench.tasks.private_step.note import NOTE
from datasets.pairs.digits import private_digits

KEYS = {
    "rank": 2, "batch_size": 16, "clip": 0.05, "delta": 1e-3, "lr": 3e-3, "noise_multiplicity": 3, "weight_decay": 0.01, "warm_up": 2,
    "images": 3, "batches": 4, "releases": 3, "repetitions": 3, "reference_draws": 5,
}  # fmt: skip
OURS = ("warm_up", "images", "batches", "releases", "repetitions", "reference_draws")
STEPS, EPSILON, SEED = 5, 6.0, 4
LINE = [
    "dataset=step_digits",
    "dataset.private_size=40",
    "scale=smoke",
    f"seeds=[{SEED}]",
    f"method.steps={STEPS}",
    f"method.epsilon={EPSILON}",
    "method.accountant=rdp",
    *(f"{'task' if name in OURS else 'method'}.{name}={value}" for name, value in KEYS.items()),
]


def reference(apart: bool) -> dict:
    """The final metrics by hand."""
    pair = private_digits("", 0, public_size=10, private_size=40, held_size=10)
    model = yaml.safe_load((ROOT / "conf/model/unet_digits.yaml").read_text())
    torch.manual_seed(stream_seed(SEED, "init", 70))
    public = Denoiser(1, 5, 8, **{name: value for name, value in model.items() if name != "_target_"}).eval()
    sigma = noise_multiplier(EPSILON, 16 / 40, STEPS, KEYS["delta"], "rdp")
    x = 2 * pair.private_x.float() / 255 - 1
    steps = Steps(public, x, pair.private_y, KEYS, SEED, sigma, apart)
    found = {"start_difference": steps.start, "tuned_difference": steps.apart_from(public, steps.network)}
    found |= {"sensitivity": steps.sensitivity(), "noise_ratio": steps.noise_ratio(STEPS), **steps.repeated(STEPS)}
    releases = KEYS["warm_up"] + steps.made + KEYS["releases"] + KEYS["repetitions"]
    size = sum(p.numel() for p in steps.network.parameters() if p.requires_grad)
    return found | {"releases": releases, "trainable_parameters": size}


@pytest.mark.parametrize(("method", "apart"), [("dplora", False), ("dplora_released", True)])
def test_all_metrics_are_those_of_sums_an_example_at_a_time(go, method, apart):
    folders = go(f"method={method}", *LINE)
    (found,), wanted = final(folders), reference(apart)
    assert found.pop("merged_difference") < 1e-5 < 1e-3 < found["tuned_difference"]
    assert found["start_difference"] == 0
    counted = {"gradient_evaluations": found["gradient_evaluations"]}
    names = same_rows([found], [wanted | counted], 2e-4)
    all_compared(names, NOTE, "merged_difference")
    assert read_metrics(folders[0]) == []
    assert (found["sensitivity"] > 1.5) == apart


def test_what_is_not_asked_for_is_left_out(go):
    none = [f"task.{name}=0" for name in ("batches", "releases", "repetitions")]
    (folder,) = go("method=dp_attention", "dataset=step_digits", "dataset.private_size=40", "scale=smoke", *none)
    assert set(result_of(folder)["metrics"]) == {
        "start_difference", "tuned_difference", "merged_difference", "releases", "trainable_parameters", "gradient_evaluations",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["method.epsilon=null"], "method.epsilon: null, which makes no private step; a number"),
        (["task.images=41"], "task.images = 41: more than the 40 private images; at most that"),
        (["method.batch_size=41"], "batch_size = 41: more than the 40 private images; at most 40"),
    ],
)
def test_wrong_values_end_in_a_line(line, said, go):
    with pytest.raises(UserError, match=said):
        go("method=dplora", "dataset=step_digits", "dataset.private_size=40", "scale=smoke", *line)


@pytest.mark.parametrize("dataset", ["step_digits", "shape_mnist"])
def test_a_data_set_that_brings_no_model_is_told_of_one(dataset, job, tmp_path):
    made = job(
        "method=dplora", f"dataset={dataset}", "scale=smoke", *QUIET, "verbose=false", f"results_root={tmp_path}"
    )
    del made.parts["model"]
    with pytest.raises(UserError, match="model: missing value; name a denoiser, as model=unet_"):
        execute(made)
