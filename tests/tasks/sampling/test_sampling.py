"""The sampling task through the real program: a run re-computed path by path, a mixing time in closed form, resume bit for bit, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import final, result_of, whole_and_resumed
from scipy import special

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.seeding import generator
from bench.tasks.sampling.density import Reference
from bench.tasks.sampling.loop import CHUNK, Sampling
from datasets.energies.multimodal import Multimodal

DISC, RADIUS = "dataset.domain=ball", 2.0
LOGGED = {
    "share_outside", "kl_grid", "kl_coarse", "mode_tv", "modes_covered", "modes_core", "gradient_evaluations", "energy_evaluations",
}  # fmt: skip


def draws(seed: int, chain: int, steps: int, replicates: int) -> dict[str, np.ndarray]:
    """The normal and uniform numbers of a chain, [steps, R, ...] each, from the named streams."""
    found: dict[str, list[np.ndarray]] = {"normal": [], "uniform": [], "gradient": [], "energy": []}
    for first in range(0, steps, CHUNK):
        stream = generator(seed, "noise", first, chain)
        found["normal"].append(torch.randn(CHUNK, replicates, 2, generator=stream).double().numpy())
        if chain:
            found["uniform"].append(torch.rand(CHUNK, replicates, generator=stream, dtype=torch.float64).numpy())
        noise = torch.randn(CHUNK, replicates, 3, generator=generator(seed, "data", first, chain)).double().numpy()
        found["gradient"].append(0.05 * noise[..., :2])
        found["energy"].append(0.05 * noise[..., 2])
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def mirrored(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """At the circle of radius 2, by the quadratic formula."""
    if y @ y < RADIUS**2:
        return y
    d = y - x
    a, b, c = d @ d, 2 * x @ d, x @ x - RADIUS**2
    at = x + (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a) * d
    n = at / RADIUS
    image = at + (y - at) - 2 * ((y - at) @ n) * n
    return image if image @ image < RADIUS**2 else at


def u(x: np.ndarray) -> float:
    return 0.2 * x @ x - 2 * np.cos(2 * np.pi * x).sum()


def path(seed: int, r: int, replicates: int, lrs: list, taus: list[float], evaluations: int, reflect: bool) -> tuple:
    """The first chain's positions after each step of one copy, and its swaps; `lrs` hold the step size of each step of each chain."""
    chains = len(taus)
    steps = evaluations // chains
    numbers = [draws(seed, k, steps, replicates) for k in range(chains)]
    x, first, swaps = [np.zeros(2) for _ in taus], [], 0
    for t in range(steps):
        for k in range(chains):
            g = 0.4 * x[k] + 4 * np.pi * np.sin(2 * np.pi * x[k]) + numbers[k]["gradient"][t, r]
            lr = lrs[k](t / steps)
            y = x[k] - lr * g + math.sqrt(2 * lr * taus[k]) * numbers[k]["normal"][t, r]
            x[k] = mirrored(x[k], y) if reflect else y
        if chains == 2:
            energies = [u(x[k]) + numbers[k]["energy"][t, r] for k in range(2)]
            delta = 1 / taus[1] - 1 / taus[0]
            s = delta * (energies[1] - energies[0]) - delta**2 * 0.05**2
            if math.log(numbers[1]["uniform"][t, r]) < s:
                x, swaps = [x[1], x[0]], swaps + 1
        first.append(x[0])
    return np.array(first), swaps


def expected(
    cells: Reference, paths: list[np.ndarray], chains: int, spent: int, burn_in: int, thin: int
) -> dict[str, float]:
    """All that a row says of the samples of a seed's copies up to `spent` gradients, by counting."""
    after = [chains * (t + 1) for t in range(spent // chains)]
    taken = [i for i, e in enumerate(after) if e > burn_in and any((e - j) % thin == 0 for j in range(chains))]
    x = np.concatenate([p[taken] for p in paths])
    inside = (x**2).sum(1) < RADIUS**2
    edges = np.linspace(-2.5, 2.5, 101)
    counts = np.histogram2d(*x[inside].T, bins=[edges, edges])[0]
    p, q, eps = cells.fine.numpy(), counts / len(x), 2.2e-16
    coarse = counts.reshape(25, 4, 25, 4).sum((1, 3))
    big = cells.coarse.numpy()
    filled = big > 0
    smooth = (coarse[filled] + 0.5) / (len(x) + filled.sum() / 2)
    modes, near = cells.modes.numpy(), cells.near.numpy()
    closest = ((x[inside][:, None] - modes) ** 2).sum(-1).argmin(1)
    shares = np.bincount(closest, minlength=len(modes)) / len(x)
    return {
        "share_outside": 1 - inside.mean(),
        "kl_grid": (5 / 99) ** 2 * (p * np.log((p + eps) / (q + eps))).sum(),
        "kl_coarse": special.rel_entr(big[filled], smooth).sum() + smooth.sum() * 0,
        "mode_tv": 0.5 * (np.abs(shares - near).sum() + 1 - inside.mean()),
        "modes_covered": int((shares >= 0.1 * near)[near > 0.03].sum()),
        "modes_core": int((near > 0.03).sum()),
    }


CASES = {
    "sgld": (["method=sgld"], [lambda s: 5e-4], [1.0], False),
    "r_sgld": (["method=r_sgld", "method.lr=5e-3"], [lambda s: 5e-3], [1.0], True),
    "r_cycsgld": (
        ["method=r_cycsgld"],
        [lambda s: max(1e-3 * (math.cos(math.pi * (5 * s % 1)) + 1), 2.5e-4)],
        [1.0],
        True,
    ),
    "r2sgld": (["method=r2sgld", "method.lr=1e-3"], [lambda s: 1e-3, lambda s: 5e-3], [1.0, 10.0], True),
}


@pytest.mark.parametrize("name", CASES)
def test_every_number_of_a_run_is_that_of_its_paths_one_by_one(name, go):
    overrides, lrs, taus, reflect = CASES[name]
    spent = {"r2sgld": 3000}.get(name, 1500)
    task = ["task.burn_in=100", "task.thin=7", f"task.reports=[{spent // 3}]", "task.replicates=2", "task.cloud=3"]
    folders = go(*overrides, "dataset=multimodal", DISC, *task, f"task.evaluations={spent}", "seeds=[3,4]")
    target = Multimodal(domain="ball")
    cells = Reference.of(target.energy, target.domain, target.window, target.modes, 1.0)
    for seed, folder, last in zip((3, 4), folders, final(folders)):
        found = [path(seed, r, 2, lrs, taus, spent, reflect) for r in range(2)]
        paths = [p for p, _ in found]
        rows = [row for row in read_metrics(folder) if "share_outside" in row]
        for row, budget in zip(rows, (spent // 3, spent), strict=True):
            wanted = expected(cells, paths, len(taus), budget, 100, 7)
            assert {k: row[k] for k in wanted} == pytest.approx(wanted, rel=1e-9, abs=1e-12)
            assert row["gradient_evaluations"] == budget
            assert set(row) - {"step"} == LOGGED | ({"swap_rate"} if len(taus) == 2 else set())
        assert {k: last[k] for k in wanted} == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        if len(taus) == 2:
            assert last["swap_rate"] == pytest.approx(sum(s for _, s in found) / (2 * spent // 2), rel=1e-12)
        assert last["energy_evaluations"] == (spent if len(taus) == 2 else 0)
        assert last["gradient_evaluations"] == spent
        points = [(row["x"], row["y"]) for row in read_metrics(folder) if "x" in row]
        taken = [
            i for i in range(spent // len(taus)) if any((len(taus) * (i + 1) - j) % 7 == 0 for j in range(len(taus)))
        ]
        assert points == [
            pytest.approx(tuple(paths[r][i]), abs=1e-9) for i, r in [(taken[-2], 1), (taken[-1], 0), (taken[-1], 1)]
        ]
        energy = np.mean([u(p[i]) for i in taken if len(taus) * (i + 1) > 100 for p in paths])
        assert last["energy_mean"] == pytest.approx(energy, rel=1e-9)


def test_the_mixing_time_of_a_disc_is_that_of_bessel_s_modes(go):
    """E|x|^2 from the centre is R^2/2 + sum 4 R^2 / (j^2 J_0(j)) exp(-T j^2 t / R^2), j the zeros of J_1."""
    lr, radius = 1e-3, 1.5
    zeros = special.jn_zeros(1, 200)
    times = np.linspace(0.01, 1, 20000)
    terms = 4 * radius**2 / (zeros**2 * special.j0(zeros))
    square = radius**2 / 2 + (terms[:, None] * np.exp(-(zeros[:, None] ** 2) * times / radius**2)).sum(0)
    exact = times[np.argmax(square >= (1 - math.exp(-1)) * radius**2 / 2)]
    task = ["task.evaluations=1000", "task.burn_in=10", "task.replicates=2000", "task.mixing=true"]
    flat = ["dataset=multimodal", DISC, f"dataset.radius={radius}", "dataset.amplitude=0", "dataset.confinement=0"]
    (last,) = final(go("method=r_sgld", f"method.lr={lr}", *flat, *task, "seeds=[0]"))
    assert last["mixing_time"] * lr == pytest.approx(exact, rel=0.1)
    assert last["diameter"] == pytest.approx(3.0)


def test_a_time_that_was_never_reached_is_left_out(go):
    task = ["task.evaluations=100", "task.burn_in=10", "task.replicates=4", "task.mixing=true"]
    (last,) = final(go("method=r_sgld", "method.lr=1e-9", "dataset=multimodal", *task, "seeds=[0]"))
    assert "mixing_time" not in last


@pytest.mark.parametrize("stop", [333, 350, 700, 720])  # before, at and after the report
@pytest.mark.parametrize("method", ["r_cycsgld", "r2sgld"])
def test_a_stopped_run_goes_on_bit_for_bit(method, stop, job, tmp_path):
    more = ["task.evaluations=1500", "task.burn_in=100", "task.reports=[700]", "task.replicates=2", "task.cloud=4"]
    made = job(f"method={method}", "dataset=multimodal", *more, "task.mixing=true", "seeds=[0,1]", "hardware=cpu")
    whole, resumed = whole_and_resumed(made, tmp_path, stop)
    assert resumed == whole


def test_the_final_metrics_are_those_of_the_last_report(go, monkeypatch):
    """Computed once a report; without a report, as after a checkpoint of the end, they are computed for themselves."""
    made, metrics, report = [], Sampling._metrics, Sampling._report
    monkeypatch.setattr(Sampling, "_metrics", lambda self: made.append(self.step) or metrics(self))
    task = ["task.evaluations=600", "task.burn_in=10", "task.reports=[300]", "task.replicates=2", "seeds=[0,1]"]
    whole = final(go("method=r2sgld", "dataset=multimodal", *task))
    assert made == [150, 300]
    monkeypatch.setattr(Sampling, "_report", lambda self, spent: (report(self, spent), setattr(self, "rows", None)))
    again = final(go("method=r2sgld", "dataset=multimodal", *task, root="again"))
    assert made == [150, 300, 150, 300, 300]
    assert again == whole


def test_what_leaves_every_bound_has_diverged(go):
    folders = go("method=sgld", "method.lr=10.0", "dataset=multimodal", "task.evaluations=2000", "seeds=[0]")
    assert result_of(folders[0])["status"] == "diverged"


def test_a_seed_s_status_is_its_own(go):
    """One of the seeds diverges; alone or among others each is called the same."""
    words = ["method=sgld", "method.lr=0.11", "dataset=own_energy", f"dataset.energy={__name__}.steep"]
    words += ["dataset.domain={box:[[-9,-9],[9,9]]}", f"extensions=[{__name__}]", "task.evaluations=2000"]
    words += ["task.burn_in=1000", "task.replicates=1", "task.reports=[]"]
    folders = go(*words, "seeds=[0,1,2,3,4,5]")
    found = {result_of(f)["seed"]: result_of(f)["status"] for f in folders}
    assert set(found.values()) == {"finished", "diverged"}, "or this would tell nothing"
    for seed, status in found.items():
        (alone,) = go(*words, f"seeds=[{seed}]", root=f"alone{seed}")
        assert result_of(alone)["status"] == status


def steep(x):
    return (x**4).sum(-1)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.burn_in=2000", "task.evaluations=2000"], "task.burn_in = 2000: less than"),
        (["task.reports=[10]"], "task.reports"),
        (["task.thin=100000"], "task.thin = 100000: no sample after"),
        (["task.evaluations=2001", "task.burn_in=2000", "task.reports=[]"], "no sample after"),
        (
            ["task.burn_in=1000", "task.evaluations=2000", "task.thin=10", "task.reports=[1001]"],
            "the first sample comes after 1010",
        ),
        (["dataset=lorenz", "dataset.points=1000", "dataset.start=zero"], "start outside the domain and are mirrored"),
        (["task.evaluations=1", "task.burn_in=0"], "one step of 2 chains takes 2"),
        (["method.temperatures=[2.0,1.0]"], "each above the one before"),
        (["dataset=lorenz", "task.mixing=true"], "needs a domain of the plane"),
        (["dataset=lorenz", "dataset.energy=minibatch"], "does not state its energies' variance"),
        (["dataset.domain=heart", "dataset.normals=released"], "the flower's alone"),
    ],
)
def test_what_does_not_fit_is_one_line(overrides, said, job, tmp_path):
    from bench.run.runner import execute

    data = [] if any(o.startswith("dataset=") for o in overrides) else ["dataset=multimodal"]
    made = job(
        "method=r2sgld",
        *data,
        *overrides,
        "scale=smoke",
        "tracker=none",
        "verbose=false",
        "hardware=cpu",
        f"results_root={tmp_path}",
    )
    with pytest.raises(UserError, match=said):
        execute(made)
