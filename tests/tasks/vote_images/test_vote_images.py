"""Runs of the vote on images: refusals, resumption, NaN, and what the program prints."""

from __future__ import annotations

import dataclasses

import pytest
from conftest import QUIET, final, whole_and_resumed

from bench.run.curve import read_metrics
from bench.run.runner import execute

SMALL = ["dataset=digits", "scale=smoke", "dataset.train_size=128", "dataset.test_size=60"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["task.batch_size=400"], "task.batch_size = 400: more than the 32 images of a worker"),
        (["task.crop_padding=9"], "task.crop_padding = 9: more than the images' 8 pixels"),
        (
            ["task.gradients=batched", "model=small_cnn"],
            "task.gradients = 'batched': this network has running statistics",
        ),
        (["task.split=dirichlet", "task.alpha=1e-4", "task.workers=8"], "choose a larger alpha"),
        (["method.beta=1.5", "task.theory=false"], "method.beta = 1.5: the weight of the new gradient is at most 1"),
    ],
)
def test_what_does_not_fit_is_one_line(program, line, said):
    done = program("method=ssvr_mv", *SMALL, *line)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("method", ["ssvr_mv", "dvr_q", "signum_mv"])
def test_a_killed_run_goes_on_from_its_checkpoint(job, tmp_path, method):
    """Within the second epoch, with workers' running statistics, their estimates, the server's, and losses of the epoch under way."""
    line = [f"method={method}", *SMALL, "model=small_cnn", "model.width=4", "task.epochs=2", "task.split=dirichlet"]
    made = job(*line, "task.batch_size=8", "task.alpha=1.0", *QUIET, "seeds=[0]", "verbose=false")
    whole, resumed = whole_and_resumed(made, tmp_path, 4 + 2)
    assert whole == resumed


def test_steps_in_which_a_worker_s_gradient_is_nan_are_skipped_and_counted(job, tmp_path):
    """Three of 120 images are white, which this network answers with NaN; the run ends with finite numbers."""
    line = ["method=signsgd_mv", "dataset=digits", "task.epochs=3", "task.batch_size=4", "task.theory=false"]
    made = job(*line, "method.lr=0.003", "task.gradient_subset=4", *QUIET, "verbose=false", f"results_root={tmp_path}")
    data = {"_target_": "reference.tiny_images.tiny", "poisoned": 3, "train": 120}
    parts = made.parts | {"model": {"_target_": "reference.tiny_images.Plain"}, "dataset": data}
    outcome = execute(dataclasses.replace(made, parts=parts))
    folder = outcome.job.folder / "seed0"
    rows = read_metrics(folder)
    assert 1 <= rows[-1]["skipped_steps"] <= 9, "an image a pass, or several in one minibatch"
    assert all(row["train_loss"] < 3 for row in rows)
    assert rows[-1]["step"] == 21, "a skipped step is a step"


def test_the_program_says_what_was_voted(go):
    (last,) = final(go("method=ssvr_mv", *SMALL, "method.ties=random"))
    d = 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert last["bits_up"] == last["bits_down"] == pytest.approx(1 + 32 * 6 / d)
    votes, length = 2, -(-d // 8) + 1
    assert last["wire_megabytes"] * 1e6 == pytest.approx(votes * 4 * 2 * (length + 4 * 6))
    assert last["gradient_evaluations"] == 4 * 16 * (2 * votes - 1)
