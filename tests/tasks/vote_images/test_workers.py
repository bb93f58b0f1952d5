"""Workers' images, minibatches, gradients and running statistics."""

from __future__ import annotations

import pytest
import torch
from conftest import final
from reference.tiny_images import tiny

from bench.errors import UserError
from bench.models.small import mlp, small_cnn
from bench.seeding import generator
from bench.tasks.vote_images import shards as module
from bench.tasks.vote_images.gradients import Gradients
from bench.tasks.vote_images.shards import WorkerBatches, shards

DATA = tiny("", 0, train=120)
HOW = {"crop_padding": 1, "flip": True, "channels_last": False}


def full() -> torch.autocast:
    return torch.autocast("cpu", enabled=False)


def has(law: str, workers: int = 4, seed: int = 0, batch_size: int = 4) -> list[torch.Tensor]:
    return shards(DATA, workers, law, seed, alpha=0.3, pieces=2, batch_size=batch_size)


@pytest.mark.parametrize("law", ["iid", "dirichlet", "shards"])
def test_who_has_what_is_drawn_once_and_follows_from_the_seed(law):
    once = has(law)
    assert all(torch.equal(a, b) for a, b in zip(once, has(law)))
    assert any(not torch.equal(a, b) for a, b in zip(once, has(law, seed=1)))
    assert all(len(part) >= 4 for part in once)


def test_each_worker_sees_its_own_images_in_every_epoch():
    """Labels of all minibatches of an epoch and of the next are those of the worker's images, without the incomplete minibatch."""
    parts = has("dirichlet")
    numbered = torch.arange(120)
    data = type(DATA)(**(vars(DATA) | {"train_y": numbered % 3, "train_x": _marked()}))
    for worker, part in enumerate(parts):
        how = HOW | {"crop_padding": 0, "flip": False}
        batches, length = WorkerBatches(data, parts, [worker], 0, 4, **how), len(part) // 4
        for epoch in range(3):
            seen = [_marks(batches.get(epoch * length + k)[0][0], data) for k in range(length)]
            found = torch.cat(seen)
            assert len(found.unique()) == len(found)
            assert set(found.tolist()) <= set(part.tolist())


def _marked() -> torch.Tensor:
    """Images that hold their own number."""
    x = torch.zeros(120, 3, 6, 8, dtype=torch.uint8)
    x[:, 0] = torch.arange(120, dtype=torch.uint8)[:, None, None]
    x[:, 1, 0] = 255
    return x


def _marks(x: torch.Tensor, data) -> torch.Tensor:
    return ((x[:, 0, 0, 0] * data.std[0] + data.mean[0]) * 255).round().long()


def test_minibatches_of_a_worker_depend_on_seed_number_and_step_alone():
    parts = has("iid")
    every, one = WorkerBatches(DATA, parts, range(4), 3, 4, **HOW), WorkerBatches(DATA, parts, [2], 3, 4, **HOW)
    for step in (0, 5, 11, 5):
        (x, y), (x_, y_) = every.get(step)[2], one.get(step)[0]
        assert torch.equal(x, x_)
        assert torch.equal(y, y_)
    assert not torch.equal(every.get(0)[0][0], every.get(0)[1][0])
    assert not torch.equal(every.get(0)[0][0], WorkerBatches(DATA, parts, [0], 4, 4, **HOW).get(0)[0][0])


def test_a_worker_with_less_than_a_minibatch_is_refused():
    with pytest.raises(UserError, match=r"task.batch_size = 31: more than the 30 images of a worker \(4 share 120\)"):
        has("iid", batch_size=31)
    with pytest.raises(UserError, match="smallest = 31"):
        has("dirichlet", batch_size=31)


def test_what_is_measured_counts_workers_alike_however_many_images_they_have():
    """Of each as many images as the worker with fewest has: the mean over them is one of f = (1/n) sum_j f_j, which counts workers alike."""
    parts = has("dirichlet", workers=3)
    sizes = [len(part) for part in parts]
    assert min(sizes) < max(sizes)
    shown = module.measured(DATA, parts, 1000, 0)
    each = min(sizes)
    assert len(shown.train_y) == 3 * each
    chosen = []
    for worker, part in enumerate(parts):
        order = torch.randperm(len(part), generator=generator(0, "data", 4, 3, worker))
        chosen.append(DATA.train_x[part[order[:each]]])
    assert torch.equal(shown.train_x, torch.cat(chosen))
    assert len(module.measured(DATA, parts, 9, 0).train_y) == 9
    assert len(module.measured(DATA, parts, 1, 0).train_y) == 3, "one of each at least"


def network(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return mlp(1, 3, 6, hidden=[7]) if kind == "mlp" else small_cnn(1, 3, 6, width=3)


def minibatches(workers: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [(torch.randn(5, 1, 6, 6, generator=draw), torch.randint(3, (5,), generator=draw)) for _ in range(workers)]


def test_all_workers_in_one_pass_are_one_after_another_to_rounding():
    model, given = network("mlp"), minibatches(4)
    point = dict(model.named_parameters())
    losses, each = Gradients(model, range(4), 0, full, False)(point, given, 0, True)
    together, all_ = Gradients(model, range(4), 0, full, True)(point, given, 0, True)
    torch.testing.assert_close(losses, together, rtol=1e-5, atol=1e-6)
    for one, other in zip(each, all_, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_backward_and_none_is_left_behind():
    model, given = network("mlp"), minibatches(2)
    losses, each = Gradients(model, range(2), 0, full, False)(dict(model.named_parameters()), given, 0, True)
    assert all(p.grad is None for p in model.parameters())
    for loss, own, (x, y) in zip(losses, each, given):
        model.zero_grad()
        expected = torch.nn.functional.cross_entropy(model(x), y)
        expected.backward()
        assert float(loss) == float(expected.detach())
        assert all(torch.equal(g, p.grad.flatten()) for g, p in zip(own, model.parameters()))


def test_running_statistics_are_a_worker_s_own_and_a_pass_at_the_last_point_leaves_them():
    model, given = network("cnn"), minibatches(2)
    gradients, point = Gradients(model, range(2), 0, full, False), dict(model.named_parameters())
    start = [{name: b.clone() for name, b in own.items()} for own in gradients.buffers]
    gradients(point, given, 0, False)
    assert all(torch.equal(own[name], b) for own, was in zip(gradients.buffers, start) for name, b in was.items())
    gradients(point, given, 0, True)
    for worker, (x, _) in enumerate(given):
        alone = network("cnn").train()
        alone(x)
        assert all(torch.equal(gradients.buffers[worker][name], b) for name, b in alone.named_buffers())
    assert all(torch.equal(b, start[0][name]) for name, b in model.named_buffers()), (
        "the network's own wait for the mean"
    )


def test_a_network_with_statistics_or_dropout_is_not_batched():
    for model, what in ((network("cnn"), "BatchNorm"), (torch.nn.Sequential(torch.nn.Dropout(0.1)), "dropout")):
        with pytest.raises(UserError, match=f"task.gradients = 'batched': this network has .*{what}"):
            Gradients(model, range(2), 0, full, True)


def test_a_batched_run_is_a_looped_one_to_rounding(go):
    """Plain signs of a small step: a coordinate whose sign rounding could turn is rare."""
    line = ["method=signsgd_mv", "dataset=digits", "task.epochs=1", "method.lr=0.1", "model.hidden=[8]"]
    looped, batched = (final(go(*line, f"task.gradients={how}", root=how))[0] for how in ("looped", "batched"))
    assert looped["train_loss"] == pytest.approx(batched["train_loss"], rel=1e-4)
    assert looped["grad_l2"] == pytest.approx(batched["grad_l2"], rel=1e-2)
