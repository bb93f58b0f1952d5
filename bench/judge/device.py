"""One job computed here and there: what it comes to, how far rounding moves it, and how fast it is."""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from bench.errors import UserError
from bench.judge.syncs import Watch, counted
from bench.run.job import Job
from bench.run.options import options, task_of_experiment
from bench.run.sweep import of_experiment

DRAWS = 3  # runs with rounding of their own
SAFETY = 10.0  # times the largest distance among them
FLOOR = 1e-5  # relative; of a metric that none of them moves
STEPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52, torch.bfloat16: 2.0**-8}


@dataclass(frozen=True)
class Measured:
    """Final metrics of the first seed, seconds, examples, peak memory in bytes, and what waited for the device."""

    metrics: dict[str, float]
    seconds: float
    examples: int
    peak: int
    watch: Watch


def representatives(scale: str = "smoke") -> dict[str, list[Job]]:
    """By task the first jobs of its experiments, one an experiment."""
    found: dict[str, list[Job]] = {task: [] for task in options("task")}
    for name in options("experiment"):
        found[task_of_experiment(name)].append(of_experiment(name, (f"scale={scale}",))[0])
    return found


def on(job: Job, **hardware: Any) -> Job:
    """The job on other hardware, with its first seed alone, silent."""
    settings = job.settings
    own = {"hardware": settings.hardware.model_copy(update=hardware), "seeds": settings.seeds[:1], "verbose": False}
    return replace(job, settings=settings.model_copy(update=own | {"checkpoint_every": 1e9}))


def computed(job: Job, *modes: AbstractContextManager[Any], watched: bool = False) -> Measured:
    """Run the job without leaving results behind; with `watched` what waits for the device is counted, which takes time.

    Raises:
        UserError: its data are not here.
    """
    from bench.run.hardware import open_device
    from bench.run.session import Run, Session
    from bench.run.stopping import StopSignal

    with tempfile.TemporaryDirectory() as folder:
        job = replace(job, settings=job.settings.model_copy(update={"results_root": folder}))
        run = Run(job.settings.seeds[0], Path(folder))
        device, watch = open_device(job.settings.hardware), Watch()
        run.follow = watch.row
        device.forget_peak_memory()
        session = Session(job, [run], device, StopSignal(), watch, lambda line: None)
        begun = time.perf_counter()
        with ExitStack() as entered:
            for mode in (*modes, *([counted(watch)] if watched else [])):
                entered.enter_context(mode)
            session.advance(session.start())
        device.synchronize()
        seconds = session.clock.read() or time.perf_counter() - begun
        metrics = {name: float(value) for name, value in (run.final or {}).items() if isinstance(value, int | float)}
        return Measured(metrics, seconds, session.examples, device.peak_memory(), watch)


class Rounding(TorchDispatchMode):
    """Every sum, product of matrices and transcendental function is moved by up to one of its last places, as another device's may be.

    Single additions, multiplications, divisions and square roots are left: IEEE 754 rounds them alike everywhere.

    Args:
        seed: of the moves.
        relative: the largest one in single precision, where rounding is coarser there, as under autocast; none: a last place.
    """

    MOVED = ("convolution", "mm", "addmm", "bmm", "baddbmm", "_scaled_dot", "mv", "dot", "sum", "mean", "var", "std", "cumsum", "prod", "logsumexp",
             "native_batch_norm", "native_layer_norm", "native_group_norm", "_softmax", "_log_softmax", "nll_loss", "exp", "log", "pow", "tanh",
             "sigmoid", "erf", "gelu", "silu", "sin", "cos", "linalg", "_linalg", "cholesky", "triangular", "_fft", "softplus", "norm",
             "avg_pool", "adaptive_avg", "_adaptive_avg", "upsample", "digamma", "lgamma")  # fmt: skip

    def __init__(self, seed: int, relative: float | None = None) -> None:
        super().__init__()
        self._stream, self._relative = torch.Generator().manual_seed(seed), relative

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = str(func).removeprefix("aten.")
        return tree_map(self._moved, found) if name.startswith(self.MOVED) and not _in_place(func) else found

    def _moved(self, x: Any) -> Any:
        if not isinstance(x, Tensor) or x.dtype not in STEPS or x.is_sparse:
            return x
        size = self._relative if self._relative and x.dtype == torch.float32 else STEPS[x.dtype]
        noise = torch.empty(x.shape, dtype=x.dtype).uniform_(-size, size, generator=self._stream)
        return x + x * noise.to(x.device)


def _in_place(operation: Any) -> bool:
    return any(one.alias_info is not None for one in operation._schema.returns)


class HostRandom(TorchFunctionMode):
    """Random numbers that a device's own generator would draw come from the host's generator of the same seed: both devices see the same.

    Args:
        device: the type of device, `cuda`.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device
        self._twins: dict[int, tuple[torch.Generator, torch.Generator]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Generator)]
        if not given or given[0].device.type != self._device or func is torch.Generator:
            return func(*args, **kwargs)
        at, twin = given[0].device, self._twin(given[0])
        host = lambda one: twin if one is given[0] else one.cpu() if isinstance(one, Tensor) else one  # noqa: E731
        moved = {name: host(one) for name, one in kwargs.items() if name != "device"}
        drawn = func(*map(host, args), **moved)
        if args and isinstance(args[0], Tensor) and func.__name__.endswith("_"):
            return args[0].copy_(drawn)
        return drawn.to(at)

    def _twin(self, own: torch.Generator) -> torch.Generator:
        """One for each generator, as long as it is used."""
        kept = self._twins.get(id(own))
        if kept is None or kept[0] is not own:
            kept = self._twins[id(own)] = own, torch.Generator().manual_seed(own.initial_seed())
        return kept[1]


def distance(one: float, other: float) -> float:
    """Between two values of a metric: 0 of two NaN, infinite where one of them is not finite."""
    if one == other or (one != one and other != other):
        return 0.0
    return abs(one - other) if math.isfinite(one - other) else math.inf


def tolerances(job: Job, reference: Measured, relative: float | None = None) -> dict[str, float]:
    """By metric: ten times the largest distance to the reference among runs whose every operation is rounded otherwise; infinite where they diverge.

    relative: the size of rounding, where it is coarser than the numbers' own.
    """
    runs = [computed(job, Rounding(seed, relative)).metrics for seed in range(DRAWS)]
    return {
        name: max(SAFETY * max(distance(run.get(name, value), value) for run in runs), FLOOR * abs(value))
        for name, value in reference.metrics.items()
    }


def first_at_hand(jobs: list[Job]) -> tuple[Job, Measured] | None:
    """The first job whose data are here, with what it comes to on one CPU thread."""
    for job in jobs:
        plain = on(job, device="cpu", precision="fp32", channels_last=False, compile=False, threads=1)
        try:
            return plain, computed(plain, watched=True)
        except UserError:
            continue
    return None
