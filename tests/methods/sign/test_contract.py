"""One list of what torch's own optimizers do, held for all of ours; torch's SGD and AdamW are the list's positive controls."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from sign_family import ALL
from torch import nn

CONTROLS = {
    "torch_sgd": lambda p, lr=0.01: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "torch_adamw": lambda p, lr=0.01: torch.optim.AdamW(p, lr=lr),
}
EVERY = ALL | CONTROLS
ROUNDS = ["deepcopy", "pickle", "torch.save", "state_dict"]
NAN, INF = float("nan"), float("inf")


class Training:
    """A small network, its optimizer and four fixed minibatches; a snapshot at each pass where the optimizer takes one."""

    def __init__(self, name: str, dtypes=(torch.float64,) * 2) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
        for layer, dtype in zip(self.model, dtypes):
            layer.to(dtype)
        self.data = [(torch.randn(6, 5), torch.randint(3, (6,))) for _ in range(4)]
        self.opt, self.at = EVERY[name](self.model.parameters()), 0

    def closure(self, index: int | None = None, spoil: float | None = None):
        def run() -> torch.Tensor:
            self.opt.zero_grad()
            chosen = self.data if index is None else [self.data[index]]
            for x, y in chosen:
                hidden = self.model[0](x.to(self.model[0].weight.dtype)).tanh()
                loss = nn.functional.cross_entropy(self.model[1](hidden.to(self.model[1].weight.dtype)), y)
                (loss / len(chosen)).backward()
            if spoil is not None:
                self.model[1].weight.grad[0, 0] = spoil
            return loss.detach()

        return run

    def steps(self, count: int, spoil: float | None = None) -> Training:
        for _ in range(count):
            if self.at % 4 == 0 and hasattr(self.opt, "snapshot"):
                self.opt.snapshot(self.closure(), 4)
            self.opt.step(self.closure(self.at % 4, spoil))
            self.at += 1
        return self

    def numbers(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.model.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def everything(opt) -> list[torch.Tensor]:
    """Parameters and their tensors of state."""
    params = [p for group in opt.param_groups for p in group["params"]]
    held = [v for p in params for _, v in sorted(opt.state.get(p, {}).items()) if isinstance(v, torch.Tensor)]
    return [t.detach().clone() for t in (*params, *held)]


def through(training: Training, way: str, name: str) -> Training:
    """The same training, with model and optimizer copied."""
    if way == "deepcopy":
        return copy.deepcopy(training)
    if way == "pickle":
        return pickle.loads(pickle.dumps(training))
    file, other = io.BytesIO(), Training(name)
    if way == "torch.save":
        torch.save((training.model, training.opt), file)
        file.seek(0)
        other.model, other.opt = torch.load(file, weights_only=False)
    else:
        torch.save((training.model.state_dict(), training.opt.state_dict()), file)
        file.seek(0)
        model, opt = torch.load(file, weights_only=True)
        other.model.load_state_dict(model)
        other.opt.load_state_dict(opt)
    other.at = training.at
    return other


@pytest.mark.parametrize("way", ROUNDS)
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("before", [0, 3, 4])
def test_a_copy_goes_on_bit_for_bit(name, way, before):
    training = Training(name).steps(before)
    other = through(training, way, name)
    start = training.numbers()
    assert same(start, other.numbers())
    training.steps(6)
    assert not same(start, training.numbers())
    assert same(start, other.numbers()), "a copy of its own"
    assert same(training.numbers(), other.steps(6).numbers())


@pytest.mark.parametrize("name", ALL)
def test_an_optimizer_copied_alone_steps(name):
    opt = copy.deepcopy(Training(name).steps(2).opt)
    points = [p for group in opt.param_groups for p in group["params"]]

    def closure():
        opt.zero_grad()
        loss = sum((p - 1).square().sum() for p in points)
        loss.backward()
        return loss

    before = closure()
    for _ in range(20):
        opt.step(closure)
    assert closure() < before


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("when", ["start", "after a step"])
def test_a_parameter_unfrozen_or_added_later_is_trained(name, when):
    training = Training(name)
    last = training.model[1]
    last.weight.requires_grad_(False)
    training.steps(0 if when == "start" else 2)
    if when == "start" and hasattr(training.opt, "snapshot"):
        training.opt.snapshot(training.closure(), 4)
        training.at = 1
    last.weight.requires_grad_(True)
    training.model[1].extra = nn.Parameter(torch.ones(3, dtype=torch.float64))
    training.opt.add_param_group({"params": [last.extra], "lr": 0.02})
    last.register_forward_hook(lambda module, _, out: out * module.extra)
    before = [last.weight.detach().clone(), last.extra.detach().clone()]
    training.steps(9)
    assert all(torch.isfinite(p).all() for p in training.numbers())
    assert (last.weight != before[0]).all()
    assert (last.extra != before[1]).all()


@pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "ssvr_fs_spider", "signsvrg", "signsgd_sim"])
def test_without_a_snapshot_of_it_a_parameter_starts_at_its_first_gradient(name):
    training = Training(name)
    weight = training.model[1].weight.requires_grad_(False)
    training.steps(2)
    weight.requires_grad_(True)
    training.steps(1)
    assert torch.equal(training.opt.state[weight]["estimate"], weight.grad)
    other = training.model[0].weight
    assert name == "signsgd_sim" or not torch.equal(training.opt.state[other]["estimate"], other.grad)


@pytest.mark.parametrize("spoil", [NAN, INF, -INF])
@pytest.mark.parametrize("before", [0, 1, 4, 6])
@pytest.mark.parametrize("name", ALL)
def test_a_step_with_a_bad_gradient_changes_nothing_and_is_counted(name, before, spoil):
    """Whenever it comes: the trajectory is that of a run that never saw it."""
    training, plain = Training(name).steps(before), Training(name).steps(before)
    if before % 4 == 0 and hasattr(training.opt, "snapshot"):
        training.opt.snapshot(training.closure(), 4)
    held = everything(training.opt)
    for _ in range(2):
        training.opt.step(training.closure(2, spoil))
    assert same(held, everything(training.opt))
    assert training.opt.skipped_steps == 2
    assert plain.opt.skipped_steps == 0
    assert same(plain.steps(7).numbers(), training.steps(7).numbers())
    copies = [through(training, way, name).opt for way in ROUNDS]
    assert [opt.skipped_steps for opt in copies] == [2, 2, 2, 2]


@pytest.mark.parametrize("before", [1, 2, 5, 7])
@pytest.mark.parametrize("name", ALL)
def test_where_the_flag_is_not_at_hand_the_numbers_are_the_same(name, before, monkeypatch):
    """A GPU's way, on a CPU: nobody waits for the flag, and old and new are chosen by it."""
    training, plain = Training(name).steps(before), Training(name).steps(before)
    plain.steps(9)
    monkeypatch.setattr("methods.sign.guarded.at_hand", lambda flag: False)
    held = everything(training.opt)
    training.opt.step(training.closure(2, NAN))
    assert same(held, everything(training.opt))
    assert same(plain.numbers(), training.steps(9).numbers())
    assert training.opt.skipped_steps == 1


def test_where_nothing_is_skipped_a_bad_gradient_does_harm():
    """Negative control of the two tests above: the momentum is lost for ever, and the weight rests."""
    training = Training("signsgd_sim").steps(2)
    training.opt.skip_nonfinite = False
    training.steps(1, NAN)
    spoilt = training.model[1].weight[0, 0].item()
    training.steps(5)
    assert training.model[1].weight[0, 0].item() == spoilt
    assert training.opt.skipped_steps == 0


@pytest.mark.parametrize("name", ["ssvr_fs", "ssvr_fs_spider", "signsvrg"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_bad_snapshot_is_left_out(name, earlier):
    training = Training(name).steps(4 * earlier)
    training.opt.snapshot(training.closure(None, NAN), 4)
    training.at += 1
    before = training.numbers()
    training.steps(6)
    assert training.opt.skipped_steps == 1
    assert all((a != b).any() and b.isfinite().all() for a, b in zip(before, training.numbers()))


def test_a_bad_gradient_of_the_second_pass_skips_the_step_too():
    training, calls = Training("ssvr").steps(2), []
    held, good, bad = everything(training.opt), training.closure(2), training.closure(2, NAN)

    def closure():
        calls.append(1)
        return bad() if len(calls) == 2 else good()

    training.opt.step(closure)
    assert len(calls) == 2
    assert same(held, everything(training.opt))
    assert training.opt.skipped_steps == 1


WRONG = [
    ("lr", -1.0), ("lr", NAN), ("lr", INF), ("weight_decay", -1.0), ("weight_decay", NAN), ("maximize", True),
]  # fmt: skip
OWN = {
    "ssvr": [("beta", 0.0), ("beta", 1.5)],
    "ssvr_fs": [("beta", -1.0), ("form", "other"), ("form", "spider")],
    "signsgd_sim": [("beta", 2.0)],
    "sgd": [("momentum", -0.1)],
    "adamw": [("betas", (0.9, 1.0)), ("betas", (-0.1, 0.9))],
}
CASES = [(name, *wrong) for name in ALL for wrong in WRONG + OWN.get(name, [])]


@pytest.mark.parametrize(("name", "key", "value"), CASES)
def test_a_group_out_of_range_is_refused_wherever_it_comes_from(name, key, value):
    training, extra = Training(name).steps(1), nn.Parameter(torch.zeros(2))
    word = {"betas": "beta"}.get(key, key)
    with pytest.raises(ValueError, match=word):
        ALL[name]([{"params": [extra], key: value}])
    with pytest.raises(ValueError, match=word):
        training.opt.add_param_group({"params": [extra], key: value})
    assert len(training.opt.param_groups) == 1
    state = copy.deepcopy(training.opt.state_dict())
    state["param_groups"][0][key] = value
    before = training.opt.param_groups[0].get(key)
    with pytest.raises(ValueError, match=word):
        training.opt.load_state_dict(state)
    assert training.opt.param_groups[0].get(key) == before


@pytest.mark.parametrize("name", ALL)
def test_a_schedule_may_have_brought_lr_to_zero(name):
    training = Training(name).steps(1)
    state = training.opt.state_dict()
    state["param_groups"][0]["lr"] = 0.0
    training.opt.load_state_dict(state)
    before = training.numbers()
    assert name == "ef_signsgd" or same(before, training.steps(1).numbers())


@pytest.mark.parametrize("name", EVERY)
def test_groups_have_an_lr_of_their_own(name):
    """A group with half the lr moves as in an optimizer that has half the lr."""
    x = [nn.Parameter(torch.linspace(-1, 1, 4, dtype=torch.float64)) for _ in range(3)]
    both = EVERY[name]([{"params": [x[0]]}, {"params": [x[1]], "lr": 0.005}])
    half = EVERY[name]([x[2]], lr=0.005)
    for opt, points in ((both, x[:2]), (half, x[2:])):

        def closure(opt=opt, points=points):
            opt.zero_grad()
            loss = sum((p - 2).square().sum() for p in points)
            loss.backward()
            return loss

        if hasattr(opt, "snapshot"):
            opt.snapshot(closure, 1)
        for _ in range(3):
            opt.step(closure)
    assert torch.equal(x[1], x[2])
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize("name", EVERY)
def test_parameters_of_several_types(name):
    training = Training(name, (torch.bfloat16, torch.float32))
    training.model.append(nn.Linear(1, 1).double())  # never used: no gradient
    training.opt.add_param_group({"params": list(training.model[2].parameters())})
    before = training.numbers()
    training.steps(6)
    changed = [not torch.equal(a, b) for a, b in zip(before, training.numbers())]
    assert changed == [True] * 4 + [False] * 2
    assert [p.dtype for p in training.model.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2 + [
        torch.float64
    ] * 2
    for p in training.model.parameters():
        assert all(v.dtype == p.dtype for k, v in training.opt.state.get(p, {}).items() if k != "step")
    if name in ALL:
        held = everything(training.opt)
        training.opt.step(training.closure(0, NAN))
        assert same(held, everything(training.opt))


@pytest.mark.parametrize("name", ALL)
def test_a_sparse_gradient_is_refused_in_one_line(name):
    table = nn.Embedding(4, 2, sparse=True)
    opt = ALL[name](table.parameters())

    def closure():
        opt.zero_grad()
        loss = table(torch.tensor([1, 2])).square().sum()
        loss.backward()
        return loss

    act = (lambda: opt.snapshot(closure, 1)) if hasattr(opt, "snapshot") else (lambda: opt.step(closure))
    with pytest.raises(ValueError, match="sparse=False"):
        act()


SCHEDULES = {
    "cosine": lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=4),
    "step": lambda opt: torch.optim.lr_scheduler.StepLR(opt, 2, 0.5),
    "one_cycle": lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, 0.02, total_steps=12, cycle_momentum=False),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", EVERY)
def test_schedulers_drive_lr(name, schedule):
    """As if lr were set by hand."""
    training, by_hand = Training(name), Training(name)
    scheduler, rates = SCHEDULES[schedule](training.opt), []
    for _ in range(5):
        rates.append(training.opt.param_groups[0]["lr"])
        training.steps(1)
        scheduler.step()
    for rate in rates:
        by_hand.opt.param_groups[0]["lr"] = rate
        by_hand.steps(1)
    assert len(set(rates)) > 1
    assert same(training.numbers(), by_hand.numbers())


@pytest.mark.parametrize("name", EVERY)
def test_a_closure_may_clip(name):
    training, norms = Training(name), []

    def clipping(index: int | None):
        def run() -> torch.Tensor:
            loss = training.closure(index)()
            nn.utils.clip_grad_norm_(training.model.parameters(), 1e-3)
            norms.append(torch.cat([p.grad.flatten() for p in training.model.parameters()]).norm().item())
            return loss

        return run

    for index in range(4):
        if index == 0 and hasattr(training.opt, "snapshot"):
            training.opt.snapshot(clipping(None), 4)
        training.opt.step(clipping(index))
        assert all(p.grad is not None for p in training.model.parameters())
    assert max(norms) <= 1e-3 * (1 + 1e-9)
    assert all(p.isfinite().all() for p in training.numbers())


@pytest.mark.parametrize("name", EVERY)
def test_under_autocast(name):
    """bf16 forward passes: gradients and state keep the parameters' type, and the loss falls."""
    training = Training(name, (torch.float32,) * 2)

    def closure(index: int | None):
        def run() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return training.closure(index)()

        return run

    losses = []
    for at in range(40):
        if at % 4 == 0 and hasattr(training.opt, "snapshot"):
            training.opt.snapshot(closure(None), 4)
        losses.append(training.opt.step(closure(at % 4)).item())
    assert sum(losses[-4:]) < sum(losses[:4])
    assert {v.dtype for state in training.opt.state.values() for v in state.values()} <= {torch.float32}


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("name", EVERY)
def test_both_ways_of_clearing_gradients(name, to_none):
    training, usual = Training(name), Training(name).steps(6)
    clear = training.opt.zero_grad
    training.opt.zero_grad = lambda: clear(set_to_none=to_none)
    assert same(training.steps(6).numbers(), usual.numbers())


@pytest.mark.parametrize("name", EVERY)
def test_all_parameters_at_once_as_one_by_one(name):
    """foreach over a group is the same as a group, or an optimizer, for each parameter: methods are separable."""
    together, apart = Training(name), Training(name)
    apart.opt = EVERY[name]([{"params": [p]} for p in apart.model.parameters()])
    assert same(together.steps(9).numbers(), apart.steps(9).numbers())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, in tracing its optimizers
@pytest.mark.parametrize("name", ["ssvr", "signsgd_sim", "adamw"])
def test_a_compiled_model_and_a_compiled_step(name):
    """With the eager backend: what is traced, without what an inductor does to rounding."""
    plain, traced = Training(name).steps(5), Training(name)
    traced.model[0].compile(backend="eager")
    traced.opt.step = torch.compile(traced.opt.step, backend="eager")
    assert same(traced.steps(5).numbers(), plain.numbers())


@pytest.mark.parametrize("name", EVERY)
def test_hooks_run_once_a_step(name):
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)  # from now on torch's own class has its hooks
    torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)
    training, seen = Training(name), []
    training.opt.register_step_pre_hook(lambda *_: seen.append("before"))
    training.opt.register_step_post_hook(lambda *_: seen.append("after"))
    training.steps(2)
    assert seen == ["before", "after"] * 2
