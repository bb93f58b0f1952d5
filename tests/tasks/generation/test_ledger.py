"""The ledger of releases: laws of batches and noise, noise once, journals, secure draws, and what has no epsilon."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import torch
from scipy.stats import binom, chisquare, kstest

from bench.errors import UserError
from bench.seeding import stream_seed
from bench.tasks.generation import gaussian_noise, ledger, poisson
from bench.tasks.generation.accounting import epsilon
from bench.tasks.generation.gaussian_noise import secure_normal
from bench.tasks.generation.ledger import Ledger, Refused

LIKE = [torch.zeros(30, 20), torch.zeros(7)]


def opened(n=50, rate=0.2, noise_multiplier=2.0, clip=0.5, steps=4, delta=1e-3, accountant="rdp", **more) -> Ledger:
    return Ledger(n, rate, noise_multiplier, clip, steps, delta, accountant=accountant, **more)


def released(of: Ledger, step: int) -> torch.Tensor:
    of.batch(step)
    return torch.cat([one.flatten() for one in of.noise(step, LIKE)])


@pytest.mark.parametrize("secure", [False, True])
def test_batches_are_independent_coins_of_each_example(secure):
    """Sizes are binomial, examples join alike, and two examples join independently of each other and of the step before."""
    book = opened(n=12, rate=0.3, steps=4000, secure=secure)
    joined = torch.zeros(4000, 12)
    for step in range(4000):
        joined[step, book.batch(step)] = 1
    sizes = np.bincount(joined.sum(1).long(), minlength=13)
    expected = 4000 * binom.pmf(np.arange(13), 12, 0.3)
    few = expected < 5
    groups = [np.append(counts[~few], counts[few].sum()) for counts in (sizes, expected)]
    assert chisquare(*groups).pvalue > 1e-4
    # the share of each example, of each pair, and of each pair one step apart, within five standard deviations
    assert (joined.mean(0) - 0.3).abs().max() < 5 * (0.21 / 4000) ** 0.5
    for other in (joined, joined.roll(1, 0)):
        both = (joined.T @ other) / 4000
        both = both[~torch.eye(12, dtype=torch.bool)] if other is joined else both
        assert (both - 0.09).abs().max() < 5 * (0.09 * 0.91 / 4000) ** 0.5


@pytest.mark.parametrize("secure", [False, True])
def test_noise_has_sigma_c_in_every_coordinate(secure):
    book = opened(noise_multiplier=3.0, clip=0.2, steps=40, secure=secure)
    noise = torch.cat([released(book, step) for step in range(40)])
    assert kstest(noise.double().numpy() / 0.6, "norm").pvalue > 1e-4
    rows = noise.view(40, -1)
    assert (torch.corrcoef(rows).fill_diagonal_(0).abs() < 6 / 607**0.5).all()
    assert noise.dtype == torch.float32


def test_secure_normals_from_given_bits(monkeypatch):
    """Box and Muller's formula, and half of sums of four."""
    counted = iter([torch.tensor([0.0, 0.5, 0.75, 0.2]), torch.tensor([0.0, 0.25, 0.5, 0.6])])
    monkeypatch.setattr(gaussian_noise, "uniform", lambda count, _: next(counted).double()[:count])
    u, v = [1.0, 0.5, 0.25, 0.8], [0.0, 0.25, 0.5, 0.6]
    pairs = [(math.sqrt(-2 * math.log(a)) * f(2 * math.pi * b)) for f in (math.cos, math.sin) for a, b in zip(u, v)]
    wanted = [sum(pairs[0::2]) / 2, sum(pairs[1::2]) / 2]
    torch.testing.assert_close(secure_normal(2), torch.tensor(wanted, dtype=torch.float64))


def test_secure_uniforms_are_the_operating_systems_bits(monkeypatch):
    words = np.array([0, 1, 2**53 - 1, 2**63 + 5], dtype=np.uint64)
    monkeypatch.setattr(poisson.os, "urandom", lambda size: words.tobytes()[:size])
    assert poisson.uniform(4, None).tolist() == [0.0, 2.0**-53, 1 - 2.0**-53, 5 * 2.0**-53]
    assert poisson.uniform(0, None).shape == (0,)


def test_a_torch_generator_on_the_cpu_has_32_bits_of_its_seed():
    """Why secure draws have no seed at all."""
    first, second = (torch.rand(5, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7 + 2**40))
    assert torch.equal(first, second)


def test_secure_draws_have_no_seed(tmp_path):
    """Equal ledgers differ, no generator is asked for, and the journal holds the terms of the release alone."""
    path = tmp_path / "journal"
    one, two = opened(secure=True, seed=3, journal=path), opened(secure=True, seed=3)
    assert not torch.equal(released(one, 0), released(two, 0))
    assert one._stream("noise", 1) is None
    assert set(json.loads(path.read_text())) == {"step", "sampling", "n", "rate", "noise_multiplier", "clip"}


@pytest.mark.parametrize("name", ["noise", "order"])
def test_nothing_else_is_drawn_from_the_streams_of_releases(name):
    """Sampling, pretraining and classifiers draw from (name, a stream's number, part or epoch): what starts a sample must not tell the noise of a step."""
    one = Ledger(n=100, rate=0.2, noise_multiplier=1.0, clip=1.0, steps=200, delta=1e-5)
    others = {stream_seed(0, name, *at) for first in range(200) for at in [(first,), *((first, k) for k in range(200))]}
    assert not {one._stream(name, step).initial_seed() for step in range(200)} & others
    assert not any(isinstance(value, torch.Generator) for value in vars(one).values())


def test_streams_depend_on_seed_and_step_alone():
    assert torch.equal(released(opened(seed=1), 2), released(opened(seed=1), 2))
    assert not torch.equal(released(opened(seed=1), 2), released(opened(seed=2), 2))
    book = opened(seed=1)
    assert not torch.equal(released(book, 0), released(book, 1))


def test_a_batch_stays_until_its_release_and_noise_is_given_once():
    book = opened(seed=1)
    batch = book.batch(0)
    assert torch.equal(book.batch(0), batch)
    book.noise(0, LIKE, rows=batch.flip(0))
    with pytest.raises(Refused, match="step 0: a release without a Poisson batch"):
        book.noise(0, LIKE)
    assert not torch.equal(book.batch(0), batch)  # the next release of the step has a sample of its own


def test_a_journal_is_written_before_noise_is_handed_out(tmp_path, monkeypatch):
    path, synced = tmp_path / "journal", []
    sync, draw = os.fsync, ledger.gaussian
    monkeypatch.setattr(ledger.os, "fsync", lambda file: (synced.append(path.read_text()), sync(file)))

    def gaussian(*arguments):
        assert synced, "noise was drawn before the disk had the release"
        assert json.loads(path.read_text().splitlines()[-1])["step"] == 5
        return draw(*arguments)

    monkeypatch.setattr(ledger, "gaussian", gaussian)
    released(opened(journal=path), 5)
    assert '"step": 5' in synced[0]


def test_a_resumed_ledger_counts_releases_and_never_repeats_their_noise(tmp_path):
    path = tmp_path / "journal"
    first = opened(journal=path)
    noise, batches = [released(first, step) for step in (0, 1)], [first.batch(2)]
    again = opened(journal=path)
    assert again.released == 2
    assert torch.equal(again.batch(2), batches[0])  # drawn, never released
    anew = released(again, 1)
    assert not any(torch.equal(anew, old) for old in noise)
    assert again.epsilon() == epsilon(0.2, 2.0, 3, 1e-3, "rdp")
    assert opened(journal=path).released == 3


def test_a_line_that_a_kill_cut_short_was_never_handed_out(tmp_path):
    path = tmp_path / "journal"
    released(opened(journal=path), 0)
    with open(path, "a") as file:
        file.write('{"step": 1, "samp')
    book = opened(journal=path)
    assert book.released == 1
    released(book, 1)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize("content", ["nonsense\n", "3\n", "[]\n", "null\n"])
def test_a_file_that_is_no_journal_is_refused(tmp_path, content):
    path = tmp_path / "journal"
    path.write_text(content)
    with pytest.raises(Refused, match="what was spent is unknown"):
        opened(journal=path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"noise_multiplier": 2.5}, r"noise_multiplier = 2\.5: a release in .* has 2\.0"),
        ({"rate": 0.1}, r"rate = 0\.1"),
        ({"clip": 1.0}, r"clip = 1\.0"),
        ({"n": 51}, "n = 51"),
    ],
)
def test_a_journal_of_other_settings_is_refused(tmp_path, change, said):
    path = tmp_path / "journal"
    released(opened(journal=path), 0)
    with pytest.raises(Refused, match=said):
        opened(journal=path, **change)


def test_releases_of_another_sampling_have_no_epsilon(tmp_path):
    path = tmp_path / "journal"
    released(opened(journal=path), 0)
    path.write_text(path.read_text().replace("poisson", "shuffled"))
    with pytest.raises(Refused, match=r"sampling = poisson: a release in .* has shuffled"):
        opened(journal=path)


@pytest.mark.parametrize(
    "rows", [[0, 1], [], "twice", "without one"], ids=["others", "none", "copies as examples", "one left out"]
)
def test_a_sum_over_anything_but_the_batch_is_refused(rows):
    """A shuffled loader's indices, for one."""
    book = opened()
    batch = book.batch(0)
    rows = (
        {"twice": batch.repeat(2), "without one": batch[1:]}.get(rows)
        if isinstance(rows, str)
        else torch.tensor(rows).long()
    )
    with pytest.raises(Refused, match="not over the Poisson batch"):
        book.noise(0, LIKE, rows=rows)
    assert book.released == 0


def test_batches_that_are_no_poisson_batches_have_no_epsilon(monkeypatch):
    monkeypatch.setattr(ledger, "poisson_batch", lambda n, rate, stream: torch.arange(int(2 * n * rate)))
    book = opened(n=400)
    released(book, 0)
    with pytest.raises(Refused, match=r"rate = 0\.2: batches had 160 of 400"):
        book.epsilon()


@pytest.mark.parametrize("factor", [0.5, 1.2])
def test_noise_of_another_size_has_no_epsilon(monkeypatch, factor):
    draw = ledger.gaussian
    monkeypatch.setattr(ledger, "gaussian", lambda like, std, stream: draw(like, factor * std, stream))
    book = opened()
    for step in range(4):
        released(book, step)
    with pytest.raises(Refused, match="noise_multiplier = 2: the noise had"):
        book.epsilon()


def test_a_cost_above_the_target_is_not_stated():
    book = opened(target_epsilon=1.0)
    released(book, 0)
    assert book.epsilon() == epsilon(0.2, 2.0, 1, 1e-3, "rdp") < 1
    book = opened(noise_multiplier=0.5, target_epsilon=1.0)
    released(book, 0)
    with pytest.raises(Refused, match="calibrate the noise for this rate"):
        book.epsilon()


def test_a_spent_budget_gives_no_noise(tmp_path):
    book = opened(steps=2, journal=tmp_path / "journal")
    for step in (0, 1):
        released(book, step)
    assert (book.left, book.released) == (0, 2)
    with pytest.raises(Refused, match="the 2 releases that the noise was calibrated for are made"):
        released(book, 2)
    assert opened(steps=2, journal=tmp_path / "journal").left == 0


def test_no_release_costs_nothing_and_no_noise_everything():
    assert opened().epsilon() == 0
    book = opened(noise_multiplier=0.0)
    assert not released(book, 0).any()
    assert book.epsilon() == math.inf


def test_delta_is_below_one_and_told_above_one_over_n():
    assert opened(n=100, delta=1e-2).notice is None
    assert "above 1 / 100" in opened(n=100, delta=1.1e-2).notice
    assert opened(n=100, delta=0.5, noise_multiplier=0.0).notice is None
    for delta in (1.0, 0.0):
        with pytest.raises(UserError, match="delta ="):
            opened(delta=delta)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"n": 0}, "no private examples"), ({"clip": 0.0}, "clip = 0.0"), ({"rate": 1.1}, "rate = 1.1")],
)
def test_impossible_settings_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        opened(**change)


def test_a_batch_of_everyone():
    book = opened(rate=1.0)
    assert book.batch(0).tolist() == list(range(50))
    assert book.expected_batch == 50
    released(book, 0)
    assert book.epsilon() > 0
