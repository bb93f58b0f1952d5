"""A pair of small image sets, a small denoiser and small methods for tests of private generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.seeding import generator
from bench.tasks.generation.pair import Pair
from bench.tasks.generation.protocol import Problem

SIDE = 8


def bars(root: str, seed: int, *, public: int = 48, private: int = 40, held: int = 30, classes: bool = True) -> Pair:
    """Grey 8 x 8 images, light in one half: public ones left or right, private and held-out ones above or below."""
    draw = torch.Generator().manual_seed(seed)

    def made(count: int, upright: bool) -> tuple[Tensor, Tensor]:
        y = torch.arange(count) % 2
        light = torch.zeros(2, 1, SIDE, SIDE)
        light[0, :, : SIDE // 2], light[1, :, SIDE // 2 :] = 150.0, 150.0
        x = 40 + light[y] + 15 * torch.randn(count, 1, SIDE, SIDE, generator=draw)
        return (x.mT if upright else x).clamp(0, 255).round().to(torch.uint8), y if classes else torch.zeros_like(y)

    parts = [*made(public, True), *made(private, False), *made(held, False)]
    number = 2 if classes else 1
    return Pair(*parts, public_classes=number, num_classes=number, conditional=classes)


class Tiny(nn.Module):
    """The noise by one hidden layer, from pixels, the time and the class; its weights come from the global generator."""

    def __init__(self, in_channels: int, num_classes: int, image_size: int, *, width: int = 16) -> None:
        super().__init__()
        self.num_classes, pixels = num_classes, in_channels * image_size**2
        self.rows = nn.Embedding(max(1, num_classes), width)
        self.enter, self.leave = nn.Linear(pixels + 1, width), nn.Linear(width, pixels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        seen = torch.cat([x.flatten(1), t[:, None] / 1000], 1)
        row = self.rows(torch.zeros_like(t) if y is None or not self.num_classes else y)
        return self.leave(torch.tanh(self.enter(seen) + row)).view_as(x)


class Plain:
    """Private gradients of all weights, by definition: an example at a time, clipped, summed, noise once, over the expected batch; plain steps."""

    pretrained = False

    def __init__(
        self,
        *,
        steps: int = 6,
        batch_size: int = 8,
        clip: float = 0.5,
        noise_multiplier: float = 1.0,
        budget: float | None = None,
        secure: bool = False,
        lr: float = 0.5,
    ) -> None:
        self.steps, self.batch_size, self.clip, self.lr = steps, batch_size, clip, lr
        self.noise_multiplier, self.budget, self.secure = noise_multiplier, budget, secure

    def begin(self, problem: Problem) -> int:
        self.problem, self.net = problem, problem.denoiser.train()
        self.weights = list(self.net.parameters())
        self.trainable_parameters = sum(w.numel() for w in self.weights)
        self.ledger = problem.ledger(
            rate=self.batch_size / len(problem.pair.private_y),
            noise_multiplier=self.noise_multiplier,
            clip=self.clip,
            steps=self.steps,
            delta=1e-3,
            target_epsilon=self.budget,
            secure=self.secure,
            accountant="rdp",
        )
        return self.steps

    def advance(self, step: int) -> dict[str, float]:
        if not self.ledger.left:
            return {}
        chosen = self.ledger.batch(step)
        total = [torch.zeros_like(w) for w in self.weights]
        for i in chosen.tolist():
            draw = generator(self.problem.seed, "noise", 1, step, i)
            x, y = self.problem.x[i : i + 1], self.problem.y[i : i + 1]
            t = self.problem.schedule.draw_times((1, 2), draw)
            noise = torch.randn(1, 2, *x.shape[1:], generator=draw)
            loss = self.problem.schedule.loss_per_example(self.net, x, y, t, noise).sum()
            own = torch.autograd.grad(loss, self.weights)
            norm = torch.cat([g.flatten() for g in own]).norm()
            total = [s + g * min(1.0, self.clip / float(norm)) for s, g in zip(total, own)]
        for w, s, n in zip(self.weights, total, self.ledger.noise(step, total)):
            w.data -= self.lr * (s + n) / self.batch_size
        return {"gradient_evaluations": 2 * len(chosen)}

    def network(self) -> nn.Module | None:
        return self.net.eval()

    def state_dict(self) -> dict[str, Any]:
        return {"net": {name: value.clone() for name, value in self.net.state_dict().items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])


class Untold(Plain):
    """Learns nothing and opens no ledger."""

    def begin(self, problem: Problem) -> int:
        self.problem, self.net, self.trainable_parameters = problem, problem.denoiser, 0
        return 0


class Prototypes(Untold):
    """Has no denoiser: grey images."""

    def network(self) -> nn.Module | None:
        return None

    def sample(self, y: Tensor, draw: torch.Generator) -> Tensor:
        return (y[:, None, None, None] - 0.5) + 0.2 * torch.randn(len(y), 1, SIDE, SIDE, generator=draw)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


class Broken(Plain):
    """The last step leaves a weight that is no number."""

    def advance(self, step: int) -> dict[str, float]:
        told = super().advance(step)
        if step == self.steps - 1:
            self.weights[0].data[0, 0] = float("nan")
        return told


class Shuffled(Plain):
    """Draws its batches by itself, without the ledger, and takes only noise from there."""

    def advance(self, step: int) -> dict[str, float]:
        self.ledger.noise(step, [w.detach() for w in self.weights])
        return {}


class Twice(Plain):
    """Opens a second ledger."""

    def begin(self, problem: Problem) -> int:
        super().begin(problem)
        return super().begin(problem)


def generation_job(folder: Path, method: str, *, seeds: str = "[0]", **keys: Any) -> Any:
    """A job of the task on these pairs: keys are the task's, or of the data set as dataset_private, of the method as method_steps."""
    from dataclasses import replace as changed

    from conftest import QUIET

    from bench.run.compose import compose
    from bench.run.config import typed
    from bench.tasks.valuation.loop_options import _node

    fixed = [*QUIET, "verbose=false", "scale=smoke", f"seeds={seeds}", f"results_root={folder / 'results'}"]
    base = compose("method=sgd", "dataset=digits", "data_root=nowhere", *fixed)
    own = {
        group: {k[len(group) + 1 :]: v for k, v in keys.items() if k.startswith(f"{group}_")}
        for group in ("dataset", "method", "model")
    }
    task = _node("task", "generation", "smoke") | {
        k: v for k, v in keys.items() if not k.startswith(("dataset_", "method_", "model_"))
    }
    parts = {
        "task": typed("task", task),
        "method": {"_target_": f"generation_pairs.{method}", **own["method"]},
        "dataset": {"_target_": "generation_pairs.bars", **own["dataset"]},
        "model": {"_target_": "generation_pairs.Tiny", **own["model"]},
    }
    names = {"task": "generation", "method": method, "dataset": "bars", "model": "tiny"}
    return changed(base, parts=parts, names=names, asked="0" * 64, experiment=None)
