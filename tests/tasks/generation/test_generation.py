"""Whole runs of private generation on pairs made here: what is measured, resumed, written, stated and refused."""

from __future__ import annotations

import base64
import io
import itertools
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from conftest import whole_and_resumed
from generation_pairs import Plain, Prototypes, bars, generation_job
from PIL import Image

from bench.errors import UserError
from bench.run.checkpoint import read_checkpoint
from bench.run.curve import read_metrics
from bench.run.hardware import open_device
from bench.run.progress import Display
from bench.run.session import Run, Session
from bench.run.stopping import Stopped, StopSignal
from bench.tasks.generation import ledger, loop, loop_measure, loop_setup
from bench.tasks.generation.accounting import epsilon
from bench.tasks.generation.canary import plant
from bench.tasks.generation.gaussian_noise import gaussian
from bench.tasks.generation.loop_grid import MARGIN
from bench.tasks.valuation.loop_sheet import GAP, SIDE


def ran(folder, method, **keys):
    """(final metrics, rows, lines reported, the run, which has `spent` gradient evaluations) of a job."""
    made = generation_job(folder, method, **keys)
    run = Run(made.settings.seeds[0], folder / f"{method}-seed")
    run.folder.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    session = Session(made, [run], open_device(made.settings.hardware), StopSignal(), Display(None, ""), said.append)
    session.advance(session.start())
    (run.spent,) = session.gradient_evaluations
    return run.final, read_metrics(run.folder), said, run


def journal(run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "ledger.jsonl").read_text().splitlines()]


SMALL = {"samples": 20, "sampling_steps": 2, "feature_steps": 2, "classifier_epochs": 1, "membership": 10}


def test_epsilon_is_of_what_the_journal_holds(tmp_path):
    final, _, said, run = ran(tmp_path, "Plain", **SMALL)
    lines = journal(run)
    assert [line["step"] for line in lines] == list(range(6))
    assert {(line["sampling"], line["rate"], line["noise_multiplier"]) for line in lines} == {("poisson", 0.2, 1.0)}
    assert final["epsilon"] == epsilon(0.2, 1.0, 6, 1e-3, "rdp")
    assert (final["delta"], final["noise_multiplier"], final["releases"]) == (1e-3, 1.0, 6)
    told = f"Plain on bars: epsilon = {final['epsilon']:.4g} at delta = 0.001, one private image added or removed; against who does not know the seed"
    assert any(line.startswith(told) for line in said)
    assert any(
        line.startswith("frechet: 64 features of a classifier of the public images; 20 samples against 40")
        for line in said
    )


def test_a_method_without_noise_or_ledger_states_no_epsilon(tmp_path):
    final, _, _, run = ran(tmp_path, "Plain", method_noise_multiplier=0.0, **SMALL)
    assert (final["noise_multiplier"], final["releases"]) == (0.0, 6)
    assert not {"epsilon", "delta"} & set(final)
    final, _, _, run = ran(tmp_path, "Untold", **SMALL)
    assert not {"epsilon", "delta", "noise_multiplier", "releases"} & set(final)
    assert final["steps"] == final["trainable_parameters"] == run.spent == 0
    assert not (run.folder / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("method", "keys", "line"),
    [
        ("Shuffled", {}, r"step 0: a release without a Poisson batch of its own, which has no epsilon"),
        (
            "Plain",
            {"method_budget": 1.0},
            r"^epsilon = 1: 6 releases at rate 0\.2 with noise_multiplier = 1 cost 3\.119",
        ),
        ("Twice", {}, r"method: it opens a second ledger"),
        ("Plain", {"method_clip": 0.0}, r"^(method\.)?clip = 0\.0"),
        ("Plain", {"samples": 9}, r"^task\.samples = 9: too few to measure anything by; at least 10$"),
        ("Plain", {"canaries": 1}, r"^task\.canaries = 1: an audit needs two"),
        ("Prototypes", {"canaries": 8}, r"^task\.canaries = 8: the audit goes by a denoiser's losses"),
        (
            "Plain",
            {"sampling_steps": 30, "timesteps": 20},
            r"sampling_steps = 30: no divisor of timesteps = 20; type sampling_steps=20",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_and_no_epsilon(method, keys, line, tmp_path):
    with pytest.raises(UserError, match=line) as told:
        ran(tmp_path, method, **SMALL | keys)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("samples.png"))


def test_a_ledger_that_does_not_hold_ends_the_run_before_a_sample(tmp_path, monkeypatch):
    """Noise of half the size that is billed."""
    monkeypatch.setattr(ledger, "gaussian", lambda like, std, stream: gaussian(like, std / 2, stream))
    with pytest.raises(UserError, match=r"noise_multiplier = 1: the noise had (0\.5|0\.49)"):
        ran(tmp_path, "Plain", **SMALL)
    assert not list(tmp_path.rglob("samples.png"))


@pytest.mark.parametrize("stop_at", [3, 6])
@pytest.mark.parametrize("method", ["Plain", "Prototypes"])
def test_a_run_stopped_at_a_checkpoint_goes_on_to_equal_numbers(method, stop_at, tmp_path, monkeypatch):
    """While it trains, and while it samples."""
    monkeypatch.setattr(loop, "SAMPLED", 3)
    made = generation_job(tmp_path, method, **SMALL)
    whole, resumed = whole_and_resumed(made, tmp_path, stop_at)
    assert whole == resumed
    pictures = [(tmp_path / part / "seed0/samples.png").read_bytes() for part in ("whole", "cut")]
    assert pictures[0] == pictures[1]


class Killed(BaseException):
    """Stands for a kill."""


def session_of(made, folder: Path) -> Session:
    folder.mkdir(parents=True, exist_ok=True)
    return Session(made, [Run(0, folder)], open_device(made.settings.hardware), StopSignal(), Display(None, ""), print)


@contextmanager
def noise_seen(kill_at: int = -1) -> Iterator[list[tuple[int, torch.Tensor]]]:
    """(step, noise) of every release; the process is killed when that of a step has been handed out."""
    seen, noise = [], ledger.Ledger.noise

    def watched(self, step, like, rows=None):
        found = noise(self, step, like, rows)
        seen.append((step, torch.cat([part.flatten() for part in found])))
        if step == kill_at:
            raise Killed
        return found

    with patch.object(ledger.Ledger, "noise", watched):
        yield seen


def test_after_a_kill_no_noise_is_used_again_and_what_was_spent_counts(tmp_path):
    """Saved after step 1, killed at step 4: the releases of steps 2 to 4 are lost and spent, so one is left of six."""
    made, folder, asked = generation_job(tmp_path, "Plain", **SMALL), tmp_path / "killed", itertools.count(1)
    first = session_of(made, folder)
    first.due = lambda: next(asked) == 2
    with noise_seen(kill_at=4) as before, pytest.raises(Killed):
        first.advance(first.start())
    second = session_of(made, folder)
    with noise_seen() as after:
        second.advance(second.start())
    assert [step for step, _ in before + after] == [0, 1, 2, 3, 4, 2]
    drawn = torch.stack([noise for _, noise in before + after])
    assert not torch.isclose(drawn[:, None], drawn[None]).all(-1).triu(1).any()
    (run,) = second.runs
    assert [line["step"] for line in journal(run)] == [0, 1, 2, 3, 4, 2]
    assert run.final["releases"] == 6
    assert run.final["epsilon"] == epsilon(0.2, 1.0, 6, 1e-3, "rdp")


def test_a_run_killed_before_its_first_checkpoint_starts_afresh_with_a_fresh_ledger(tmp_path):
    made, folder = generation_job(tmp_path, "Plain", **SMALL), tmp_path / "killed"
    first = session_of(made, folder)
    with noise_seen(kill_at=3), pytest.raises(Killed):
        first.advance(first.start())
    assert len(journal(first.runs[0])) == 4
    second = session_of(made, folder)
    second.advance(second.start())
    assert second.runs[0].final == ran(tmp_path, "Plain", **SMALL)[0]
    assert [line["step"] for line in journal(second.runs[0])] == list(range(6))


def test_a_secure_run_killed_before_its_first_checkpoint_has_spent_what_it_released(tmp_path):
    """Four of six releases cannot be repeated: two are left, and force=true alone is a run with a budget of its own."""
    made, folder = generation_job(tmp_path, "Plain", method_secure=True, **SMALL), tmp_path / "killed"
    first = session_of(made, folder)
    with noise_seen(kill_at=3), pytest.raises(Killed):
        first.advance(first.start())
    second = session_of(made, folder)
    second.advance(second.start())
    assert [line["step"] for line in journal(second.runs[0])] == [0, 1, 2, 3, 0, 1]
    assert second.runs[0].final["releases"] == 6
    forced = replace(made, settings=made.settings.model_copy(update={"force": True}))
    third = session_of(forced, folder)
    third.advance(third.start())
    assert [line["step"] for line in journal(third.runs[0])] == list(range(6))


@pytest.mark.parametrize("lost", ["result", "code"])
def test_secure_releases_are_not_thrown_away_unasked(tmp_path, lost):
    """All of the budget is spent and the result is gone; or the checkpoint is of other code. force=true alone begins anew."""
    made, folder = generation_job(tmp_path, "Plain", method_secure=True, **SMALL), tmp_path / "run"
    first = session_of(made, folder)
    if lost == "code":
        first.due = lambda: len(journal(first.runs[0])) == 3
        with noise_seen(kill_at=4), pytest.raises(Killed):
            first.advance(first.start())
        made = replace(made, code="other")
    else:
        first.advance(first.start())
        first.clear()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = session_of(made, folder)
    with pytest.raises(UserError, match=r"ledger.jsonl: \d of 6 secure releases are made, which cannot be made again"):
        second.advance(second.start())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    forced = replace(made, settings=made.settings.model_copy(update={"force": True}))
    third = session_of(forced, folder)
    third.advance(third.start())
    assert [line["step"] for line in journal(third.runs[0])] == list(range(6))


def test_what_is_released_last_is_saved_at_once(tmp_path):
    """Nobody asked for a checkpoint; a kill right after it has cost nothing."""
    made, folder = generation_job(tmp_path, "Plain", **SMALL), tmp_path / "killed"
    first = session_of(made, folder)
    with patch.object(loop.Generating, "sample", side_effect=Killed), pytest.raises(Killed):
        first.advance(first.start())
    second = session_of(made, folder)
    with noise_seen() as after:
        second.advance(second.start())
    assert not after
    assert second.runs[0].final == ran(tmp_path, "Plain", **SMALL)[0]


def test_of_a_secure_run_no_file_tells_the_noise(tmp_path):
    """Two secure runs of one seed have other batches and noise; neither the checkpoint nor the journal has a seed or a state of a generator."""
    drawn = []
    for name in ("a", "b"):
        made = generation_job(tmp_path / name, "Plain", method_secure=True, **SMALL)
        session = session_of(made, tmp_path / name / "run")
        session.due = lambda: True
        with noise_seen() as seen:
            session.advance(session.start())
        drawn.append(torch.stack([noise for _, noise in seen]))
        state = read_checkpoint(session.runs[0].folder / "checkpoint.pt", "cpu", print).state
        assert set(state) == {"step", "method", "samples"}
        assert set(state["method"]) == {"net"}
        assert set(journal(session.runs[0])[0]) == {"step", "sampling", "n", "rate", "noise_multiplier", "clip"}
    assert not torch.isclose(drawn[0], drawn[1]).all(-1).any()
    assert session.runs[0].final["epsilon"] > 0


def test_weights_that_are_no_numbers_end_as_a_diverged_run(tmp_path):
    final, _, said, run = ran(tmp_path, "Broken", **SMALL)
    assert run.status == "diverged"
    assert said[-1] == "Broken on bars: 640 pixels are not finite"
    assert final["releases"] == 6
    assert "frechet" not in final


def test_images_without_classes_have_no_accuracies(tmp_path):
    final, _, _, run = ran(tmp_path, "Plain", dataset_classes=False, grid=3, **SMALL)
    assert not any(name.startswith("accuracy") for name in final)
    assert final["frechet"] > 0
    with Image.open(run.folder / "samples.png") as image:
        assert image.size == (GAP + 3 * (SIDE + GAP), GAP + 3 * (SIDE + GAP))


def test_the_picture_has_a_row_a_class(tmp_path):
    """Prototypes are dark and light: so are the rows."""
    _, rows, said, run = ran(tmp_path, "Prototypes", grid=4, thumbnails=3, **SMALL)
    with Image.open(run.folder / "samples.png") as image:
        assert image.size == (MARGIN + 4 * (SIDE + GAP), GAP + 2 * (SIDE + GAP))
        pixels = np.asarray(image.convert("L"), dtype=float)
    dark, light = (pixels[GAP + k * (SIDE + GAP) :][:SIDE, MARGIN : MARGIN + SIDE].mean() for k in (0, 1))
    assert dark == pytest.approx(127.5 * 0.5, abs=12)
    assert light == pytest.approx(127.5 * 1.5, abs=12)
    assert [(row["label"], row["place"]) for row in rows] == [(label, k) for label in "01" for k in (1, 2, 3)]
    assert Image.open(io.BytesIO(base64.b64decode(rows[0]["thumbnail"]))).size == (8, 8)
    assert said[-1] == f"samples of each class: {run.folder / 'samples.png'}"


def test_samples_do_not_depend_on_how_many_there_are(tmp_path, monkeypatch):
    """Beyond whole parts, which are drawn one after another."""
    monkeypatch.setattr(loop, "SAMPLED", 10)
    shown = []
    monkeypatch.setattr(loop, "write_grid", lambda folder, pair, x, y, most: shown.append(x))
    for count in (20, 40):
        ran(tmp_path / str(count), "Prototypes", **SMALL | {"samples": count})
    assert torch.equal(shown[0], shown[1][:20])


def test_canaries_are_private_images_that_only_the_audit_knows(tmp_path, monkeypatch):
    """The method sees those that the coins chose behind the private images; distances are from the set without them."""
    seen, problem = [], loop_setup.Problem
    monkeypatch.setattr(loop_setup, "Problem", lambda *fields: (seen.append(problem(*fields)), seen[-1])[1])
    final, _, _, run = ran(tmp_path, "Plain", canaries=12, **SMALL)
    (given,) = seen
    planted, canaries = plant(bars("", 0), 12, 0)
    assert torch.equal(given.pair.private_x, planted.private_x)
    assert len(given.x) == 40 + int(canaries.included.sum())
    assert final["reference_images"] == 40
    assert journal(run)[0]["n"] == len(given.x)
    assert 0 <= final["epsilon_lower_bound"] <= final["epsilon"]
    assert 0 <= final["canary_right"] <= final["canary_guesses"] <= 12


def test_a_method_sees_no_held_out_image(tmp_path, monkeypatch):
    seen, problem = [], loop_setup.Problem
    monkeypatch.setattr(loop_setup, "Problem", lambda *fields: (seen.append(problem(*fields)), seen[-1])[1])
    ran(tmp_path, "Plain", **SMALL)
    assert torch.equal(seen[0].pair.held_x, bars("", 0).private_x[:1])


@pytest.mark.parametrize("method", ["Plain", "Prototypes"])
def test_latents_are_denoised_and_images_come_out(method, tmp_path, monkeypatch):
    seen, problem = [], loop_setup.Problem
    monkeypatch.setattr(loop_setup, "Problem", lambda *fields: (seen.append(problem(*fields)), seen[-1])[1])
    monkeypatch.setattr(
        Prototypes, "sample", lambda self, y, draw: torch.randn(len(y), *self.problem.x.shape[1:], generator=draw)
    )
    final, _, said, run = ran(
        tmp_path, method, space="latent", autoencoder_steps=2, canaries=4 * (method == "Plain"), **SMALL
    )
    (given,) = seen
    assert given.x.shape[1:] == (4, 4, 4)
    assert given.decode(given.x[:3]).shape == (3, 1, 8, 8)
    assert given.ledger is not None
    assert any("autoencoder" in line for line in said)
    assert np.isfinite(final["frechet"])
    assert ("membership_auc" in final) == (method == "Plain")
    assert (run.folder / "samples.png").exists()


def test_inception_is_a_metric_of_its_own(tmp_path, monkeypatch):
    """Other features beside those of the public classifier, which stay what they are."""

    class Sides:
        name = "two halves"

        def __init__(self, device) -> None:
            pass

        def __call__(self, x):
            return torch.stack([x[..., :4, :].float().mean((1, 2, 3)), x[..., 4:, :].float().mean((1, 2, 3))], 1)

    monkeypatch.setattr(loop_measure, "InceptionFeatures", Sides)
    plain, _, _, _ = ran(tmp_path / "plain", "Prototypes", **SMALL)
    final, _, said, _ = ran(tmp_path / "both", "Prototypes", inception=True, **SMALL)
    assert "frechet_inception: two halves; 20 samples against 40 images" in said
    assert final.pop("frechet_inception") > 0
    assert final == plain


def test_what_a_person_should_know_is_said_before_a_release(tmp_path, monkeypatch):
    """A package that metrics need, and a delta that is too large."""
    monkeypatch.setattr("bench.tasks.generation.features.PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"task\.inception = true: the package"):
        ran(tmp_path, "Plain", inception=True, **SMALL)
    assert not list(tmp_path.rglob("ledger.jsonl"))
    said = []
    monkeypatch.setattr(ledger.Ledger, "notice", "delta is large")
    monkeypatch.setattr(ledger, "_append", lambda *_: said.append("release"))
    made, folder = generation_job(tmp_path, "Plain", **SMALL), tmp_path / "run"
    session = session_of(made, folder)
    session.report = said.append
    session.advance(session.start())
    assert said.index("Plain on bars: delta is large") < said.index("release")


def test_the_network_of_the_same_public_images_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Plain, "pretrained", True)
    keys = {"pretraining_steps": 3, "method_steps": 1, **SMALL}
    told = [
        ran(tmp_path, method, seeds=seed, **keys)[2]
        for method, seed in (("Plain", "[0]"), ("Broken", "[0]"), ("Plain", "[1]"))
    ]
    assert [sum("training the denoiser" in line for line in lines) for lines in told] == [1, 0, 1]


def test_a_stop_while_public_images_are_learnt_is_answered_at_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Plain, "pretrained", True)
    keys = {"pretraining_steps": 3, "method_steps": 1, **SMALL}
    session = session_of(generation_job(tmp_path, "Plain", **keys), tmp_path / "stopped")
    session._stop.number = signal.SIGTERM
    with pytest.raises(Stopped) as stopped:
        session.advance(session.start())
    assert stopped.value.code == 128 + signal.SIGTERM
    found = {path.name for path in (tmp_path / "results/.cache/pretrained").rglob("*") if path.is_file()}
    assert found == {"lock", "unfinished"}
    assert ran(tmp_path, "Plain", **keys)[0] == ran(tmp_path / "whole", "Plain", **keys)[0]


def test_bf16_is_refused(tmp_path):
    made = generation_job(tmp_path, "Plain", **SMALL)
    hardware = made.settings.hardware.model_copy(update={"precision": "bf16"})
    made = replace(made, settings=made.settings.model_copy(update={"hardware": hardware}))
    session = session_of(made, tmp_path / "run")
    with pytest.raises(UserError, match=r"^hardware\.precision = bf16: .*; hardware\.precision=fp32$"):
        session.advance(session.start())
