"""Steps as one compiled call: the same paths, reports, resumed runs and counts as without, and what has no graph or no compiler."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from conftest import final, whole_and_resumed

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.tasks.sampling import loop
from bench.tasks.sampling.compiled import Compiled, advance
from bench.tasks.sampling.curved import SHAPES
from bench.tasks.sampling.domains import HalfSpaces
from bench.tasks.sampling.protocol import Draws
from datasets.energies.multimodal import Multimodal
from methods.sampling.langevin import SGLD, CyclicalSGLD, ReplicaSGLD

STEPS, COPIES = 48, 8
PAIR = partial(ReplicaSGLD, lr=5e-3, lr_ratio=5.0, temperatures=[1.0, 10.0], reflect=True)
METHODS = {
    "r_sgld": partial(SGLD, lr=0.02, reflect=True, penalty=0.1),
    "r_cycsgld": partial(CyclicalSGLD, lr=0.02, floor=0.002, cycles=5, reflect=True),
    "r2sgld": PAIR,
    "three": partial(PAIR, temperatures=[1.0, 3.0, 10.0], lr_ratio=2.0),
    "threshold": partial(PAIR, swap="threshold"),
    "none": partial(PAIR, swap="none"),
}


@pytest.fixture
def traced(monkeypatch):
    """torch.compile by the eager backend: what is traced, without a compiler and what it does to rounding."""
    compile = torch.compile
    monkeypatch.setattr(loop, "BLOCK", 2)
    monkeypatch.setattr(torch, "compile", lambda f, options, **more: compile(f, backend="eager", **more))


def path(method, block: int, call=advance, target=None):
    """The first chain's path [steps, N, d] in blocks of so many steps, the method after it, and the energies asked."""
    target, g = target or Multimodal(), torch.Generator().manual_seed(0)
    x = torch.zeros(method.chains, COPIES, 2, dtype=torch.float64)
    method.begin(x, target.domain, STEPS, target.energy_variance)
    draws = Draws(
        torch.randn(STEPS, method.chains, COPIES, 2, generator=g, dtype=torch.float64),
        torch.rand(STEPS, method.chains - 1, COPIES, generator=g, dtype=torch.float64),
        target.draws([0], 0, STEPS, method.chains, COPIES),
    )
    found, asked = [], 0
    with torch.no_grad():
        for t in range(0, STEPS, block):
            rates = [method.rates(s) for s in range(t, t + block)] if method.varies else None
            given = rates if rates is None or call is advance else x.new_tensor(rates)
            x, part, energies = call(method, target, t % 2, x, draws.part(t, t + block), given)
            found, asked = found + part, asked + energies
    return torch.stack(found), method, asked


@pytest.mark.parametrize("name", METHODS)
def test_a_traced_block_takes_the_method_s_steps(name, traced):
    whole, method, asked = path(METHODS[name](), 1)
    call = Compiled(advance)
    blocks, again, more = path(METHODS[name](), 3, call)
    assert call.runs
    assert (blocks - whole).abs().max() < 1e-9
    assert more == asked == (method.chains * STEPS if sum(method.attempts(STEPS)) else 0)
    assert method.swaps is None or torch.equal(again.swaps, method.swaps)
    if name in ("r2sgld", "three"):
        assert method.swaps.sum(1).min() > 0, "or this would tell little"


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_mirrors_alike(name, traced):
    target = Multimodal(domain=name)
    call = Compiled(advance)
    whole, blocks = path(PAIR(), 1, target=target)[0], path(PAIR(), 3, call, target)[0]
    assert call.runs
    assert (blocks - whole).abs().max() < 1e-9
    assert target.domain.inside(blocks).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, in compiling
def test_compiled_steps_are_the_uncompiled_ones_to_rounding():
    """Through the compiler itself, two steps at a time, on the flower; some of them mirrored."""
    whole, method, _ = path(PAIR(), 1)
    call = Compiled(advance)
    blocks, again, _ = path(PAIR(), 2, call)
    assert call.runs
    assert (blocks - whole).abs().max() < 1e-9
    assert torch.equal(again.swaps, method.swaps)
    unbounded = path(PAIR(reflect=False), 1)[0]
    assert (unbounded - whole).abs().max() > 0.1, "or nothing was mirrored"


def test_what_has_no_graph_runs_as_it_is(traced):
    """As many bounces as a path needs."""
    target = Multimodal()
    target.domain = HalfSpaces(
        torch.tensor([[1.0, 0], [0, 1], [-1, -1]], dtype=torch.float64),
        torch.ones(3, dtype=torch.float64),
        torch.zeros(2),
    )
    call = Compiled(advance)
    assert torch.equal(path(PAIR(), 3, call, target)[0], path(PAIR(), 1, target=target)[0])
    assert not call.runs


ODD = [
    "task.evaluations=1500",
    "task.burn_in=101",
    "task.thin=7",
    "task.reports=[333,700]",
    "task.replicates=2",
    "task.cloud=4",
]


@pytest.mark.parametrize("method", ["r_cycsgld", "r2sgld"])
def test_a_compiled_run_reports_the_same_at_the_same_places(method, go, traced):
    """Reports within a block, thinned samples, swap rates, energies, a mixing time."""
    words = [
        f"method={method}",
        "dataset=multimodal",
        "dataset.domain=ball",
        *ODD,
        "task.mixing=true",
        "seeds=[0,1]",
        "hardware=cpu",
    ]
    plain, compiled = go(*words), go(*words, "hardware.compile=true", root="compiled")
    for a, b in zip(final(plain), final(compiled), strict=True):
        assert a == pytest.approx(b, rel=1e-9)
    for a, b in zip(plain, compiled, strict=True):
        rows = [[row for row in read_metrics(folder) if "energy_mean" not in row] for folder in (a, b)]
        assert rows[1] == [pytest.approx(row, rel=1e-9, abs=1e-9) for row in rows[0]]


@pytest.mark.parametrize("stop", [30])
def test_a_stopped_compiled_run_goes_on_bit_for_bit(stop, job, tmp_path, traced):
    made = job("method=r2sgld", "dataset=multimodal", *ODD, "seeds=[0,1]", "hardware=cpu", "hardware.compile=true")
    whole, resumed = whole_and_resumed(made, tmp_path, stop)
    assert resumed == whole


@pytest.mark.parametrize("stop", [350, 700])
def test_a_stop_at_a_report_does_not_lose_it(stop, job, tmp_path):
    method = {350: "r2sgld", 700: "r_sgld"}[stop]
    made = job(f"method={method}", "dataset=multimodal", *ODD, "seeds=[0]", "hardware=cpu")
    whole, resumed = whole_and_resumed(made, tmp_path, stop)
    assert resumed == whole


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, in compiling
def test_without_a_compiler_it_is_one_line(job, tmp_path, monkeypatch):
    from bench.run.runner import execute

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setattr(loop, "BLOCK", 2)
    words = [
        "method=r2sgld",
        "dataset=multimodal",
        "task.evaluations=20",
        "task.burn_in=2",
        "task.reports=[]",
        "seeds=[0]",
    ]
    quiet = ["tracker=none", "verbose=false", "hardware=cpu", "hardware.compile=true", f"results_root={tmp_path}"]
    with pytest.raises(
        UserError,
        match=r"hardware.compile = true: torch.compile failed .InvalidCxxCompiler: .*use hardware.compile=false",
    ) as caught:
        execute(job(*words, *quiet))
    assert len(str(caught.value).splitlines()) == 1
