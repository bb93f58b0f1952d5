"""What classification and finite_sum make of optimizers that do not fit, and of training that fails."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from conftest import result_of, seed_folders

from bench.errors import UserError
from bench.run.config import typed
from bench.run.curve import read_metrics
from bench.run.runner import execute


class Descent(torch.optim.Optimizer):
    """Plain gradient descent, as a person may write it."""

    def __init__(self, params, *, lr: float = 0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad, alpha=group["lr"])
        return loss


class NoStar(Descent):
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, lr=lr)


class NoParams(Descent):
    def __init__(self, *, lr: float = 0.1):
        super().__init__([torch.nn.Parameter(torch.zeros(1))], lr=lr)


class NoKey(Descent):
    def __init__(self, params, *, rate: float = 0.1):
        super().__init__(params, lr=rate)


class ReturnsNothing(Descent):
    def step(self, closure):
        super().step(closure)


class ReturnsANumber(Descent):
    def step(self, closure):
        return super().step(closure).item()


class NeverCalls(Descent):
    def step(self, closure):
        return torch.zeros(())


class NoClosure(Descent):
    def step(self):
        return torch.zeros(())


class NoOptimizer:
    def __init__(self, params, *, lr: float = 0.1):
        self.lr = lr

    def step(self, closure):
        return closure()


LINES = {
    NoParams: "write __init__(self, params, *, lr)",
    NoKey: "write __init__(self, params, *, lr)",
    ReturnsNothing: "return loss",
    ReturnsANumber: "return loss",
    NeverCalls: "loss = closure()",
    NoClosure: "step(self, closure)",
    NoOptimizer: "torch.optim.Optimizer",
}
PROBLEMS = {
    "classification": ["dataset=digits", "task.epochs=1", "dataset.train_size=128"],
    "finite_sum": ["dataset=sine_quadratic", "task.theory=false", "task.horizons=[20]"],
}


def running(job, tmp_path, kind: type, task: str, epochs: int | None = None):
    longer = [f"task.epochs={epochs}"] if epochs else []
    made = job(
        "method=signsgd",
        *PROBLEMS[task],
        *longer,
        "tracker=none",
        "hardware=cpu",
        f"results_root={tmp_path / 'results'}",
    )
    node = {"_target_": f"{kind.__module__}.{kind.__name__}", "lr": 0.1}
    return execute(dataclasses.replace(made, parts=made.parts | {"method": node}))


@pytest.mark.parametrize("task", PROBLEMS)
def test_an_optimizer_of_ones_own_trains_without_enabling_gradients(job, tmp_path, task):
    (result,) = running(job, tmp_path, Descent, task).results.values()
    assert result["status"] == "finished"


@pytest.mark.parametrize("task", PROBLEMS)
@pytest.mark.parametrize("kind", LINES)
def test_one_that_does_not_fit_is_one_line_that_says_what_to_change(job, tmp_path, kind, task):
    with pytest.raises(UserError) as raised:
        running(job, tmp_path, kind, task)
    line = str(raised.value)
    assert kind.__name__ in line
    assert LINES[kind] in line
    assert "\n" not in line


def test_a_constructor_without_the_star_is_told_where_it_goes():
    with pytest.raises(UserError, match=r"method\.lr: .*NoStar has no star.*write \*, before lr"):
        typed("method", {"_target_": f"{__name__}.NoStar", "lr": 0.1})


ABSURD = [
    *(
        (method, ["dataset=digits", "dataset.train_size=256", "method.lr=1e30"])
        for method in ("ssvr", "ef_signsgd", "adamw")
    ),
    *((method, ["dataset=least_squares", "task.theory=false", "method.lr=1e300"]) for method in ("ssvr", "signsvrg")),
]


@pytest.mark.parametrize(("method", "arguments"), ABSURD)
def test_an_absurd_step_size_diverges(program, tmp_path, method, arguments):
    done = program(f"method={method}", *arguments, "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert result_of(seed_folders(tmp_path)[0])["status"] == "diverged"
    assert "Traceback" not in done.stderr


def test_a_step_size_beyond_the_parameters_type_is_refused(program):
    done = program("method=ssvr", "dataset=digits", "method.lr=1e300")
    assert done.returncode == 2
    assert "error: method: lr = 1e+300, weight_decay = 0.0: too large for parameters of torch.float32" in done.stderr


class Poisoned(Descent):
    """From the outside like ours: every third step is skipped."""

    calls = skipped_steps = 0

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        self.calls += 1
        if self.calls % 3 == 0:
            self.skipped_steps += 1
            return loss * math.nan
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"])
        return loss


@pytest.mark.parametrize(("epochs", "status"), [(3, "diverged"), (4, "finished")])
def test_skipped_steps_are_counted_said_once_and_left_out_of_the_mean(job, tmp_path, capsys, epochs, status):
    """Two minibatches an epoch; a run whose last loss is NaN has diverged."""
    (result,) = running(job, tmp_path, Poisoned, "classification", epochs=epochs).results.values()
    rows = read_metrics(seed_folders(tmp_path)[0])
    assert [row.get("skipped_steps") for row in rows] == [None, 1, 2, 2][:epochs]
    assert [row.get("nonfinite_losses") for row in rows] == [None, 1, 1, None][:epochs]
    assert all(math.isfinite(row["train_loss"]) for row in rows)
    assert result["metrics"]["skipped_steps"] == 2
    assert capsys.readouterr().err.count("skipped 1 steps up to epoch 2") == 1
    assert result["status"] == status
